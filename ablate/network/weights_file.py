"""Which file of trained weights a study means, and what is in it by hash. Nothing is ever fetched.

Loads torchvision where a name of its own is to be resolved, and no torch otherwise.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ablate.errors import WeightsError, nearest
from ablate.result.pretrained import Pretrained
from ablate.study.options import split_call

TORCHVISION, TIMM = "torchvision:", "timm:"
TIMM_FILES = ("model.safetensors", "pytorch_model.bin")


def find_weights(named: str, backbone: str, *, partial: bool = False) -> Pretrained:
    """The weights that a study names: a file, `torchvision:IMAGENET1K_V2` or `timm:resnet18.a1_in1k`.

    Raises:
        WeightsError: there is no such file here; says which to put where.
    """
    path = _path(named, backbone)
    try:
        if path.exists() and not path.is_file():  # a pipe or device would be read for ever
            raise WeightsError(f"weights = {named!r}: {path} is no file; {_advice(named)}")
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        # What is no path at all, as one with a zero byte, is a ValueError.
        reason = getattr(error, "strerror", None) or str(error)
        raise WeightsError(
            f"weights = {named!r}: {path} cannot be read: {reason}; {_advice(named)}"
        ) from None
    return Pretrained(named, str(path.resolve()), sha256, partial)


def _path(named: str, backbone: str) -> Path:
    if named.startswith(TORCHVISION):
        return _torchvision_file(named, backbone)
    if named.startswith(TIMM):
        return _timm_file(named)
    return Path(os.path.expanduser(named))  # pathlib's raises where there is no such user


def _advice(named: str) -> str:
    if "://" in named:
        return "nothing is fetched from an address: fetch it, and give the file"
    if named.startswith((TORCHVISION, TIMM)):
        return "put the file there that its makers offer under that name: nothing is fetched"
    return (
        "give a .safetensors file, a .pth state dict, torchvision:TAG or timm:TAG; a path is seen from the "
        "current folder"
    )


def _torchvision_file(named: str, backbone: str) -> Path:
    name, tag = split_call(backbone)[0], named.removeprefix(TORCHVISION)
    if not name.startswith(TORCHVISION):
        raise WeightsError(
            f"weights = {named!r} are of a network of torchvision's, and the backbone is {name}: give a file"
        )
    from ablate.backbones.torchvision import load_models

    known = load_models().get_model_weights(name.removeprefix(TORCHVISION)).__members__
    if tag not in known:
        listed = ", ".join(dict.fromkeys(known)) or "(none)"
        raise WeightsError(
            f"weights = {named!r}: {name} has no weights {tag!r}{nearest(tag, known)}; there are: {listed}"
        )
    url = str(known[tag].url)
    path = hub_folder() / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        raise WeightsError(f"weights = {named!r}: nothing is fetched; put {url} at {path}")
    return path


def _timm_file(named: str) -> Path:
    """The file in Hugging Face's cache, where timm puts it: that of the newest snapshot."""
    tag = named.removeprefix(TIMM)
    folder = _hugging_face_folder() / f"models--timm--{tag.replace('/', '--')}" / "snapshots"
    found = [p for file in TIMM_FILES for p in folder.glob(f"*/{file}") if p.is_file()]
    if not found:
        raise WeightsError(
            f"weights = {named!r}: nothing is fetched; put its {TIMM_FILES[0]} into {folder / 'local'}"
        )
    return max(found, key=lambda path: (path.stat().st_mtime_ns, path.name == TIMM_FILES[0]))


def hub_folder() -> Path:
    """As `torch.hub.get_dir()` has it, without torch."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return (Path(os.environ.get("TORCH_HOME") or cache / "torch") / "hub").expanduser()


def _hugging_face_folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
