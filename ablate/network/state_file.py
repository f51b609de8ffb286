"""The tensors in a file of weights: safetensors, or a state dict and where a checkpoint holds it.

Nothing in a file can run: of pickles only what PyTorch's `weights_only` knows is read.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from ablate.errors import WeightsError

State = Mapping[str, torch.Tensor]

WRAPPED = (
    "state_dict", "model_state_dict", "model", "net", "weights", "best_state", "state_dict_ema",
    "ema_state_dict", "model_ema", "ema",
)  # fmt: skip
"""Under which a checkpoint holds its state dict, the surest first; weights as they were trained before their
average. What has another name comes after these.
"""
DEEPEST = 4
BEGINNING = 16
ADVICE = "save one with torch.save(net.state_dict(), FILE)"
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


@dataclass(frozen=True, slots=True)
class Held:
    """A state dict, and the keys under which a file holds it: `model.state_dict`, or none."""

    under: str
    tensors: State = field(repr=False)


def read_file(path: str, content: bytes) -> tuple[Held, ...]:
    """All state dicts that a file holds, the likeliest first.

    Raises:
        WeightsError: it is neither safetensors nor a state dict of tensors alone, or damaged.
    """
    with_tensors = _safetensors(content)
    if with_tensors:
        return (Held("", with_tensors),)
    found = tuple(_held(_unpickled(path, content)))
    if not found:
        raise WeightsError(f"{path}: holds no state dict: {ADVICE}")
    return found


def _safetensors(content: bytes) -> State | None:
    try:
        return load(content)
    except Exception:
        return None  # a kind of number that torch lacks is no SafetensorError


def _unpickled(path: str, content: bytes) -> Any:
    _check_parts(path, content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about other pickles, which are refused here
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        # What is damaged or made to harm makes the unpickler raise whatever there is.
        raise WeightsError(f"{path}: {_why(content, error)}: {ADVICE}") from None


def _check_parts(path: str, content: bytes) -> None:
    """PyTorch does not look at the checksums of its archives, and compresses nothing in them."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inside = sum(part.file_size for part in archive.infolist())
            damaged = archive.testzip() if inside <= len(content) else None
    except Exception:
        return  # none, or one that PyTorch has its own word for
    if inside > len(content):
        raise WeightsError(
            f"{path}: is an archive that unpacks to {inside:,} bytes, more than it has: {ADVICE}"
        )
    if damaged is not None:
        raise WeightsError(
            f"{path}: is damaged, {damaged!r} in it has another checksum: get it anew"
        )


def _why(content: bytes, error: Exception) -> str:
    """What a file is that cannot be read."""
    if foreign := _GLOBAL.search(str(error)):
        return f"holds {foreign[1]} beside tensors, and what could run is never unpickled"
    if content[8:9] == b"{":
        return f"is damaged safetensors ({_safetensors_error(content)})"
    begins = f"begins with {content[:BEGINNING]!r}" if content else "is empty"
    return (
        "is neither safetensors nor a state dict of tensors alone, and nothing else is unpickled; it "
        f"{begins} ({type(error).__name__})"
    )


def _safetensors_error(content: bytes) -> str:
    try:
        load(content)
    except SafetensorError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no tensors"


def _held(found: Any, under: tuple[str, ...] = ()) -> Iterator[Held]:
    """The state dicts in nested tables, those in tables first."""
    if not isinstance(found, Mapping) or len(under) > DEEPEST:
        return
    named = {name: value for name, value in found.items() if isinstance(name, str)}
    known = [name for name in WRAPPED if name in named]
    for name in dict.fromkeys([*known, *named]):
        yield from _held(named[name], (*under, name))
    tensors = {str(n): t for n, t in found.items() if isinstance(t, torch.Tensor)}
    if tensors:
        yield Held(".".join(under), tensors)
