"""The one place where attention meets a backbone: insertion, initialisation and fingerprint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from ablate.attention import ATTENTION, Attention, OwnAttention, OwnCall, options_at
from ablate.attention.placebo import Identity
from ablate.backbones import is_own
from ablate.errors import AblateError, OptionError, PlacementError, StudyError
from ablate.identity.attention import attention_settings
from ablate.identity.known import origin
from ablate.identity.network_state import flags
from ablate.identity.own_attention import attention_origins, calls_in
from ablate.identity.proof import Proof, prove_attention, prove_origin, refuse
from ablate.insert import insert, plain_network
from ablate.network.fresh import Uninitialised, make_network, make_own_attention
from ablate.network.trace import make_outline, outlining, record_outputs
from ablate.placement import Target, find_targets
from ablate.result.named import NamedNetwork
from ablate.study import Variant, stream_seed
from ablate.study.position import AFTER
from ablate.study.variant import is_own_attention
from ablate.system.digest import digest
from ablate.system.messages.text import one_line
from ablate.system.process.randomness import restored, seeded
from ablate.system.software.imports import their_code

VARIANT = "{variant}"
NORMS = (
    nn.modules.batchnorm._NormBase,  # batch norms and instance norms
    nn.GroupNorm,
    nn.LayerNorm,
)
"""Those that say whether they have a bias only under newer versions of torch."""

__all__ = [
    "build",
    "build_outline",
    "find_targets",
    "fingerprint",
    "identify",
    "plain_network",
    "prove",
]


def build(variant: Variant, classes: int, image_size: int, seed: int) -> nn.Module:
    """The network of a variant on the CPU, initialised from common random numbers.

    The backbone's weights depend on the seed alone, each attention module's on the seed and its
    path: variants of one seed differ only where they are different networks.

    Raises:
        PlacementError: the position matches nothing, or something that cannot carry attention.
        OptionError: the options do not fit the channels that were found.
    """
    targets = find_targets(variant, classes, image_size)
    with seeded(stream_seed(seed, "backbone")):
        net = make_network(variant.backbone, classes, image_size)
    for target in targets:
        how = () if target.how == AFTER else (target.how,)
        with seeded(stream_seed(seed, "attention", *how, target.path)):
            insert(net, target, _make_attention(variant, target))
    return net


def build_outline(variant: Variant, classes: int, image_size: int) -> nn.Module:
    """The same network with weights that are not drawn: for its structure and shapes.

    Raises:
        PlacementError: as `build` does, and if the network runs attention other than exactly once.
    """
    targets = find_targets(variant, classes, image_size)
    net = make_outline(variant.backbone, classes, image_size)
    own = bool(variant.own_kinds)
    with nullcontext() if own else outlining(variant.backbone, classes, image_size):
        for target in targets:
            with seeded(0) if own else nullcontext():
                attention = _make_attention(variant, target)
            if isinstance(attention, OwnAttention):
                _check_forward(variant, target, attention)
            insert(net, target, attention)
    if is_own(variant.backbone) or own:
        problem = _problem_of_calls(net.eval(), targets, image_size)
    else:
        problem = _problem_at(variant.backbone, classes, image_size, targets)
    if problem is not None:
        raise PlacementError(f"{variant.backbone} {problem.replace('{variant}', variant.name)}")
    return net.train()


Made = dict[tuple[str, tuple[int, ...], tuple[tuple[str, Any], ...]], str | None]
"""What became of attention that was made alone, by its kind, the shape of its place and its options: None, or
why it could not be made."""


def check_options(variant: Variant, classes: int, image_size: int, made: Made) -> None:
    """Refuse options that do not fit the channels of their places, without building the network. What is in
    `made` is not made again, for thousands of variants have few kinds of modules.

    Raises:
        PlacementError: the position matches nothing, or something that cannot carry attention.
        StudyError: the options do not fit the channels that were found.
    """
    for target in find_targets(variant, classes, image_size):
        options = tuple(options_at(variant, target.part).items())
        each = variant.kind_at(target.part), tuple(target.shape), options
        if each not in made:
            made[each] = _problem_of_options(variant, target)
        if (problem := made[each]) is not None:
            raise StudyError(problem)


def _problem_of_options(variant: Variant, target: Target) -> str | None:
    own = bool(variant.own_kinds)
    try:
        with seeded(0) if own else restored(), nullcontext() if own else Uninitialised():
            _make_attention(variant, target)
    except StudyError as error:
        return str(error)
    return None


def identify(variant: Variant, classes: int, image_size: int, identity: str | None = None) -> str:
    """The fingerprint of a variant: of its structure, and of where a user's network comes from.

    Raises:
        StudyError: as `build_outline` and `origin` do.
    """
    net = build_outline(variant, classes, image_size)
    begun = origin(variant.backbone, classes, identity, image_size)
    return fingerprint(net, image_size, begun, attention_origins(net, identity))


def own_calls(variants: Iterable[Variant], classes: int, image_size: int) -> Iterator[OwnCall]:
    """By what the user's attention in these variants is made, each once.

    Raises:
        PlacementError: as `find_targets` does.
    """
    seen = set[str]()
    for variant in variants:
        targets = find_targets(variant, classes, image_size) if variant.own_kinds else ()
        for target in targets:
            if is_own_attention(variant.kind_at(target.part)):
                call = _own_call(variant, target)
                if call.words not in seen:
                    yield call
                seen.add(call.words)


def prove(
    named: NamedNetwork, image_size: int, wanted: Iterable[tuple[Variant, str | None]]
) -> Proof:
    """Show that variants with a user's network or attention are in this process what their fingerprints say.

    Raises:
        NetworkChangedError: one of them is not; says what of it is another, in one line.
    """
    proof = prove_origin(named, image_size)
    for variant, mark in wanted:
        own = ", ".join(variant.own_kinds) if named.origin is None else ""
        whose, kind = (own, "attention") if own else (named.backbone, "network")
        try:
            net = build_outline(variant, named.classes, image_size)
        except AblateError as error:
            said = f"when it was planned {variant.name} could be built, and now: {error}"
            refuse(whose, said, kind)
        proof = prove_attention(proof, net)
        theirs = {path: proof.origins[call.words] for path, call in calls_in(net).items()}
        if mark not in (None, fingerprint(net, image_size, named.origin, theirs)):
            refuse(whose, f"other modules or shapes in {variant.name}", kind)
    return proof


def fingerprint(
    net: nn.Module,
    image_size: int,
    origin: str | None = None,
    own_attention: Mapping[str, str] | None = None,
) -> str:
    """A hash of the built network: kinds, structure, settings and shapes, but neither weights nor names
    of options. Options that build the same network have one fingerprint.

    A user's network may differ in more; `origin` is the hash of that (`ablate.identity`), `own_attention`
    those of a user's attention by its path. What stands in `extra` is added by difference: a network without
    it keeps its fingerprint.
    """
    modules = [
        (path, f"{type(module).__module__}.{type(module).__qualname__}", _shown(module))
        for path, module in net.named_modules()
    ]
    state = net.state_dict()
    tensors = [(n, list(t.shape)) for n, t in state.items() if isinstance(t, torch.Tensor)]
    settings = {p: _plain_settings(m) for p, m in net.named_modules() if _room(m) == "torchvision"}
    extra: dict[str, Any] = {"settings": settings, "flags": flags(net), "origin": origin}
    extra |= {"attention": attention_settings(net), "own_attention": dict(own_attention or {})}
    extra = {key: value for key, value in extra.items() if value}
    return digest({"modules": modules, "tensors": tensors, "image_size": image_size, **extra})


def _room(module: nn.Module) -> str:
    return type(module).__module__.partition(".")[0]


def _shown(module: nn.Module) -> str:
    """What a module says of itself, in the same words in every process and under every version of torch."""
    said = re.sub(r" at 0x[0-9a-f]+", "", module.extra_repr())  # an address
    if (
        isinstance(module, NORMS) and ", bias=" not in said
    ):  # torch 2.11 leaves it out, 2.15 does not
        bias = getattr(module, "bias", None) is not None
        said = re.sub(r"(affine=(?:True|False))", rf"\1, bias={bias}", said, count=1)
    return said


def _plain_settings(module: nn.Module) -> dict[str, object]:
    plain = (bool, int, float, str)
    named = {k: v for k, v in vars(module).items() if not k.startswith("_") and k != "training"}
    return {key: value for key, value in named.items() if isinstance(value, plain)}


@lru_cache(maxsize=256)
def _problem_at(
    backbone: str, classes: int, image_size: int, targets: tuple[Target, ...]
) -> str | None:
    """What hinders attention of whatever kind at these places of a network of ours or of torchvision, whose
    modules do not look at what kind it is."""
    net = make_outline(backbone, classes, image_size)
    for target in targets:
        insert(net, target, Identity(target.shape[0]))
    return _problem_of_calls(net.eval(), targets, image_size)


def _problem_of_calls(net: nn.Module, targets: tuple[Target, ...], image_size: int) -> str | None:
    """Run a network with attention once: a module may treat a new child in ways of its own."""
    if not targets:
        return None
    outputs, error = record_outputs(net, image_size, image_size)
    if error is not None:
        return f"fails with {VARIANT}: {one_line(error)}; name other modules"
    for target in targets:
        calls = len(outputs[target.attached])
        if calls != 1:
            return f"calls attention {target.words} {calls} times: name another module"
    return None


def _make_attention(variant: Variant, target: Target) -> Attention:
    kind = variant.kind_at(target.part)
    if is_own_attention(kind):
        try:
            return make_own_attention(_own_call(variant, target))
        except StudyError as error:
            raise StudyError(f"{variant.name} at {target.path!r}: {error}") from error
    try:
        return ATTENTION[kind](target.shape[0], **options_at(variant, target.part))
    except OptionError as error:
        raise OptionError(f"{variant.name} at {target.path!r}: {error}") from None


def _own_call(variant: Variant, target: Target) -> OwnCall:
    options = tuple(options_at(variant, target.part).items())
    return OwnCall(variant.kind_at(target.part), target.shape, options)


def _check_forward(variant: Variant, target: Target, attention: OwnAttention) -> None:
    """Show a user's attention the map of its place: it keeps the shape, and the map that it is given.

    Raises:
        StudyError: it fails, gives something else, or changes what others may use.
    """
    where, name = f"{variant.name} at {target.path!r}", attention.call.name
    shape = "×".join(map(str, target.shape))
    x = torch.randn(2, *target.shape, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    try:
        with torch.no_grad(), seeded(0), their_code(f"a forward of {name} on {shape}"):
            attention.eval()(x)
    except StudyError as error:
        raise PlacementError(f"{where}: {error}") from error
    if not torch.equal(x, before):
        raise PlacementError(
            f"{where}: {name} changes the map that it is given, which other branches may use: "
            "make a new one (x = x * gate, not x *= gate; no inplace=True on it)"
        )
    attention.train()
