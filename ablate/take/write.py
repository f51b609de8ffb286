"""A trained network as two files: its weights, and a Python file that needs PyTorch and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from ablate.attention import ATTENTION, Attention, OwnAttention, options_at, use_kernels
from ablate.attention.own import own_arguments
from ablate.errors import StudyError
from ablate.placement import find_targets
from ablate.study import Variant
from ablate.study.data import ALL_DATA, DataTable
from ablate.system.messages.text import one_line, printable
from ablate.system.process.settings import settings_kept
from ablate.take.layers import expression_of
from ablate.take.own_source import NotTakenError, OwnSource, imported, taken_along
from ablate.take.reading import reading_source
from ablate.take.source import plain_source
from ablate.take.trace import Traced, trace_forward

ABOUT = "ablate"
"""The key of a file's metadata under which it says what network it is of."""


@dataclass(frozen=True)
class Network:
    """A trained network to be taken out. `mean` and `std` are what its images are normalised by, as shares of
    1; `about` says in words where its weights come from, `data` how its images were read.
    """

    variant: Variant
    net: nn.Module = field(repr=False)
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    about: str
    data: DataTable = ALL_DATA


@dataclass(frozen=True)
class Written:
    """The content of both files."""

    weights: bytes = field(repr=False)
    source: str = field(repr=False)


def write_network(network: Network, weights_name: str) -> Written:
    """Write a network down; `weights_name` is what its file of weights will be called.

    Raises:
        StudyError: it cannot be written as one file of plain PyTorch, or what was written computes
            something else.
    """
    net = network.net.cpu().eval()
    use_kernels(net, {})
    traced = trace_forward(net, network.variant.name)
    state = {name: t for name, t in net.state_dict().items() if isinstance(t, torch.Tensor)}
    tensors = {**traced.tensors, **state}
    called = set(_owned(traced, tensors))
    content = {n: t.detach().clone().contiguous() for n, t in tensors.items() if n in called}
    weights = save(content, _about(network.variant))
    if not any(isinstance(module, OwnAttention) for module in net.modules()):
        written = Written(weights, _source(network, traced, weights_name, OwnSource()))
        _check(network, written)
        return written
    return _with_own(network, traced, weights, weights_name)


def _about(variant: Variant) -> dict[str, str]:
    """What a file of weights says of itself, under one key: safetensors writes several in an order of chance,
    and the same network has the same bytes, whose SHA-256 is in the keys of runs that begin with them.
    """
    about = {"variant": variant.name, "backbone": variant.backbone}
    return {ABOUT: json.dumps(about, sort_keys=True)}


def _with_own(network: Network, traced: Traced, weights: bytes, weights_name: str) -> Written:
    """With the source of the user's attention where that can be taken along, or else with its import."""
    theirs = [each for each in network.net.modules() if isinstance(each, OwnAttention)]
    names, why = dict.fromkeys(each.call.name for each in theirs), ""
    for find in (taken_along, imported):
        try:
            written = Written(weights, _source(network, traced, weights_name, find(names)))
            with settings_kept():
                _check(network, written)
        except Exception as error:
            # Source that was taken out of its file can fail in any way: then it is imported.
            why = one_line(error)
        else:
            return written
    raise StudyError(
        f"{network.variant.name} cannot be written as one file: {why}; its weights are in the database's "
        "folder weights/"
    )


def _owned(traced: Traced, tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """The tensors that the written network has: those of its layers, and those that it reads itself."""
    layers = tuple(f"{path}." for path in traced.layers)
    return [name for name in tensors if name in traced.tensors or name.startswith(layers)]


def _source(network: Network, traced: Traced, weights_name: str, own: OwnSource) -> str:
    attention = [m for m in traced.layers.values() if isinstance(m, Attention)]
    imports, ours = plain_source(dict.fromkeys(type(module) for module in attention))
    if both := ours.keys() & own.definitions.keys():
        raise NotTakenError(f"{', '.join(sorted(both))} is a name of ablate's attention too")
    definitions = [each.replace("OptionError", "ValueError") for each in ours.values()]
    definitions += own.definitions.values()
    needs = ["PyTorch", *own.needs]
    known = {"import torch", "from torch import nn"}
    values = {
        "TITLE": _in_docstring(f"{network.variant.name} on {network.variant.backbone}"),
        "NEEDS": " and ".join([*needs, *(["nothing else"] if len(needs) == 1 else [])]),
        "ABOUT": _in_docstring(network.about),
        "WEIGHTS": _in_docstring(repr(weights_name)),
        "IMPORTS": "\n".join(sorted({*imports, *own.imports} - known)),
        "CLASSES": repr(network.classes),
        "IMAGE_SIZE": str(network.image_size),
        "MEAN": repr(network.mean),
        "STD": repr(network.std),
        "READING": reading_source(network.data),
        "DEFINITIONS": "\n\n\n".join(dict.fromkeys(definitions)),
        "LAYERS": "\n".join([*_layers(network, traced, own), *_ties(network.net, traced)]),
        "FORWARD": _indented(traced.forward),
    }
    text = re.sub(r"<(\w+)>", lambda found: values[found[1]], TEMPLATE)
    return re.sub(r"\n{4,}", "\n\n\n", text)


def _in_docstring(text: str) -> str:
    """What a docstring shows as this text: a name of a file may have quotes."""
    return printable(text).replace("\\", "\\\\").replace('"', '\\"')


def _layers(network: Network, traced: Traced, own: OwnSource) -> list[str]:
    """A line for each layer, and for each tensor that the forward reads itself."""
    variant = network.variant
    theirs = {
        f"{path}.module": module.call
        for path, module in network.net.named_modules()
        if isinstance(module, OwnAttention)
    }
    targets = find_targets(variant, len(network.classes), network.image_size)
    ours = {target.attached: target for target in targets}
    lines = []
    for path, layer in traced.layers.items():
        if path in ours and isinstance(layer, Attention):  # a constant may stand there
            target = ours[path]
            kind = ATTENTION[variant.kind_at(target.part)].__name__
            made = _call(kind, target.shape[0], options_at(variant, target.part))
        elif path in theirs:
            made = _call(own.kinds[theirs[path].name], *own_arguments(theirs[path]))
        else:
            made = expression_of(path, layer)
        lines.append(f"        put(self, {path!r}, {made})")
    for path, tensor in traced.tensors.items():
        kind = "nn.Parameter" if isinstance(tensor, nn.Parameter) else "nn.Buffer"
        made = f"torch.zeros({list(tensor.shape)}, dtype={tensor.dtype})"
        lines.append(f"        put(self, {path!r}, {kind}({made}))")
    return lines


def _call(kind: str, channels: int, options: Mapping[str, Any]) -> str:
    words = [str(channels), *(f"{key}={value!r}" for key, value in options.items())]
    return f"{kind}({', '.join(words)})"


def _ties(net: nn.Module, traced: Traced) -> list[str]:
    """A line for each parameter that is another one's too, so that training further keeps it so."""
    first: dict[int, str] = {}
    lines = []
    for name, parameter in net.named_parameters(remove_duplicate=False):
        path, _, last = name.rpartition(".")
        if path not in traced.layers:
            continue
        if id(parameter) in first:
            of, _, theirs = first[id(parameter)].rpartition(".")
            lines.append(
                f"        self.get_submodule({path!r}).{last} = self.get_submodule({of!r}).{theirs}"
            )
        first.setdefault(id(parameter), name)
    return lines


def _indented(forward: str) -> str:
    """As a method, without the lines that let go of values that are no longer needed."""
    lines = [line for line in forward.splitlines() if not re.fullmatch(r"\s+(\w+ = )+None", line)]
    return "\n".join(f"    {line}" for line in lines)


def built(written: Written) -> nn.Module:
    """The network as whoever imports the file builds it, in evaluation mode."""
    found: dict[str, Any] = {"__name__": "taken"}
    # The file that is given away: layers, and the forward as it was traced.
    exec(compile(written.source, "taken", "exec", dont_inherit=True), found)  # noqa: S102
    net: nn.Module = found["build"](written.weights)
    return net


def _check(network: Network, written: Written) -> None:
    """What was written gives the very logits of the network that it is of."""
    size = network.image_size
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        same = torch.equal(built(written)(images), network.net(images))
    if not same:
        raise StudyError(
            f"{network.variant.name} cannot be written as one file: written down it gives other logits; its "
            "weights are in the database's folder weights/"
        )


TEMPLATE = '''"""<TITLE>, trained with ablate. Needs <NEEDS>.

<ABOUT>

    from pathlib import Path
    network = build(Path(<WEIGHTS>))
    logits = network(normalise(images))  # images (N, 3, H, W), uint8: pixels(Image.open(FILE)) is one
    print(CLASSES[logits[0].argmax()])

The forward was written down in evaluation mode. The network can be trained further: batch norm and dropout
layers follow `train()`.
"""

import json
from pathlib import Path
<IMPORTS>

import torch
from torch import nn

CLASSES = <CLASSES>
IMAGE_SIZE = <IMAGE_SIZE>
MEAN, STD = <MEAN>, <STD>


def normalise(images):
    """Pixels (N, 3, H, W), uint8, as the network was shown them: float32."""
    mean, std = (torch.tensor(each, device=images.device)[:, None, None] for each in (MEAN, STD))
    return (images.float() / 255 - mean) / std


def pixels(image):
    """An image of Pillow as files of images were read for training: (1, 3, IMAGE_SIZE, IMAGE_SIZE), uint8.
    Pillow is needed for this alone.
    """
<READING>


def build(weights=None):
    """The network in evaluation mode, with the weights of a safetensors file (its path or its bytes)."""
    network = Network().eval()
    if weights is not None:
        content = weights if isinstance(weights, bytes) else Path(weights).read_bytes()
        network.load_state_dict(read_safetensors(content))
    return network


def read_safetensors(content):
    """The tensors of a safetensors file: a header of JSON behind its length, then their bytes."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    kinds = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
             "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8, "BOOL": torch.bool}
    found = {}
    for name, about in header.items():
        first, end = (start + offset for offset in about["data_offsets"])
        data = bytearray(content[first:end])
        kind = kinds[about["dtype"]]
        flat = torch.frombuffer(data, dtype=kind) if data else torch.empty(0, dtype=kind)
        found[name] = flat.reshape(about["shape"])
    return found


<DEFINITIONS>


def put(network, path, part):
    """Put a layer or tensor into a network at its path."""
    *above, name = path.split(".")
    for each in above:
        if each not in network._modules:
            network.add_module(each, nn.Module())
        network = network._modules[each]
    if isinstance(part, nn.Module):
        network.add_module(name, part)
    else:
        setattr(network, name, part)


class Network(nn.Module):
    """Images (N, 3, IMAGE_SIZE, IMAGE_SIZE), normalised, to logits (N, classes)."""

    def __init__(self):
        super().__init__()
<LAYERS>

<FORWARD>
'''
