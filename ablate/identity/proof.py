"""Is a user's network, as this process builds it, the one that run keys name? Recomputed, never believed.

The code that counts is the one that this process has imported, the weights are those of the networks that
were built: files that are edited afterwards change nothing of what is trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn

from torch import nn

from ablate.attention import OwnCall
from ablate.backbones import is_own
from ablate.errors import AblateError, AttentionChangedError, NetworkChangedError
from ablate.identity.known import known_origin
from ablate.identity.network_state import READ
from ablate.identity.origin import Origin, find_origin
from ablate.identity.own_attention import attention_origin, calls_in
from ablate.identity.running import AFTER_FORWARD
from ablate.identity.settle import is_tensor
from ablate.identity.sources import ran_other
from ablate.identity.tensors import describe_tensor, is_empty
from ablate.network.trace import trace
from ablate.result.named import NamedNetwork
from ablate.system.digest import digest

ADVICE = (
    "bring it back to what it was and use --retry-failed, or `ablate plan` again: another network has runs "
    "of its own"
)
KINDS = ("source", "library", "environment variable", "weights", "values", "settings")
MOST_NAMES = 3


def name_network(
    backbone: str,
    classes: int,
    identity: str | None,
    image_size: int,
    attention: Iterable[OwnCall] = (),
) -> NamedNetwork | None:
    """What to prove of a backbone that is planned, and of `attention` of the user's; nothing of what is ours
    or torchvision's.

    Raises:
        StudyError: as `origin` does.
    """
    marks = {call.words: _marks(attention_origin(call, identity)) for call in attention}
    if not is_own(backbone):
        return NamedNetwork(backbone, classes, identity, None, {}, marks) if marks else None
    origin = known_origin(backbone, classes, identity, image_size)
    return NamedNetwork(backbone, classes, identity, origin.digest, _marks(origin), marks)


@dataclass(frozen=True)
class Proof:
    """That a process has the network which was named. `constants` are the hashes of the weights and buffers
    that its constructor loads or sets, `files` those of the source that it reaches; `attention` has the
    constants of the user's attention, by the words of how it is made, `origins` its hashes and `its_files`
    the source that it reaches.
    """

    named: NamedNetwork
    constants: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    attention: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    its_files: Mapping[str, str] = field(default_factory=dict)

    def check_weights(self, net: nn.Module) -> None:
        """Hash what a network that was just built begins with.

        Raises:
            NetworkChangedError: it loaded other weights than those that were named.
        """
        _check_constants(self.named.backbone, net, self.constants)
        for path, call in calls_in(net).items():
            inner = net.get_submodule(f"{path}.module")
            _check_constants(call.name, inner, self.attention.get(call.words, {}), "attention")

    def check_code(self) -> None:
        """Look once more at what this process has imported: a function may import when it is called.

        Raises:
            NetworkChangedError: other code ran than what was named.
        """
        _check_files(self.named.backbone, self.files)
        _check_files(", ".join(self._their_attention), self.its_files, "attention")

    @property
    def _their_attention(self) -> tuple[str, ...]:
        """The names of the user's attention that was proven."""
        return tuple(dict.fromkeys(words.partition(" on ")[0] for words in self.attention))


def _check_files(name: str, files: Mapping[str, str], kind: str = "network") -> None:
    others = [module for module, known in files.items() if ran_other(module, known)]
    if others:
        refuse(name, _in_words([f"source {module}" for module in others]), kind)


def _check_constants(
    name: str, net: nn.Module, constants: Mapping[str, str], kind: str = "network"
) -> None:
    tensors = [*net.named_parameters(), *net.named_buffers()]
    wanted = [(n, t) for n, t in tensors if n in constants and not is_empty(t)]
    others = [n for n, t in wanted if describe_tensor(t)["bits"] != constants[n]]
    if others:
        refuse(name, _in_words([f"weights {each}" for each in others]), kind)


def prove_attention(proof: Proof, net: nn.Module) -> Proof:
    """Describe the user's attention in a network anew in this process, and compare each part of it with what
    was named; the proof with what is to be looked at again.

    Raises:
        NetworkChangedError: a part is another, or it cannot be built any more; says which, in one line.
    """
    for call in calls_in(net).values():
        if call.words in proof.attention:
            continue
        try:
            origin = attention_origin(call, proof.named.identity, as_imported=True)
        except AblateError as error:
            refuse(
                call.name, f"when it was planned it could be built, and now: {error}", "attention"
            )
        known, found = proof.named.attention.get(call.words, {}), _marks(origin)
        others = [m for m in {**known, **found} if found.get(m) != known.get(m)]
        if others:
            refuse(call.name, _in_words(others), "attention")
        proof = replace(
            proof,
            its_files={**proof.its_files, **origin.files},
            attention={**proof.attention, call.words: _constants(origin)},
            origins={**proof.origins, call.words: origin.digest},
        )
    return proof


def prove_origin(named: NamedNetwork, image_size: int) -> Proof:
    """Build the network anew in this process and compare each part of it with what was named; of a backbone
    that is not the user's there is nothing to compare.

    Raises:
        NetworkChangedError: a part is another, or it cannot be built any more; says which, in one line.
    """
    if named.origin is None:
        return Proof(named)
    try:
        trace(named.backbone, named.classes, image_size)  # as planning does before it looks
        origin = find_origin(
            named.backbone, named.classes, named.identity, image_size, as_imported=True
        )
    except AblateError as error:
        refuse(named.backbone, f"when it was planned it could be built, and now: {error}")
    found = _marks(origin)
    others = [m for m in {**named.marks, **found} if found.get(m) != named.marks.get(m)]
    if others:
        refuse(named.backbone, _in_words(others))
    return Proof(named, _constants(origin), origin.files)


def _constants(origin: Origin) -> dict[str, str]:
    tensors = origin.network["tensors"]
    return {n: t["bits"] for n, t in tensors.items() if is_tensor(t) and "bits" in t}


def refuse(name: str, why: str, kind: str = "network") -> NoReturn:
    """Fail what would be done with a network or attention that is another than the one that was named."""
    error = NetworkChangedError if kind == "network" else AttentionChangedError
    raise error(f"{name}: is not the {kind} that this run was planned with ({why}): {ADVICE}")


def _marks(origin: Origin) -> dict[str, str]:
    found = {f"source {name}": value for name, value in origin.files.items()}
    found |= {f"library {name}": value for name, value in origin.libraries.items()}
    return found | dict(_parts(origin.network))


def _parts(network: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key, kind in (
        ("tensors", "weights"),
        (AFTER_FORWARD, "weights that a forward changes,"),
        ("settings", "settings"),
        ("environment", "environment variable"),
        (READ, "values that are read,"),
    ):
        part = network.get(key, {})
        items = part if isinstance(part, dict) else {"": part}
        yield from ((f"{kind} {name}", digest({"is": value})) for name, value in items.items())
    for key in ("kinds", "shared", "flags", "hooks on tensors"):
        yield f"settings ({key})", digest({"is": network[key]})


def _in_words(marks: list[str]) -> str:
    """`its source mypkg.nets, its weights conv.weight and 12 more`: the causes first."""
    said: list[str] = []
    for kind in KINDS:
        names = [m.removeprefix(kind).strip() for m in marks if m.startswith(kind)]
        if names and not (said and kind == "settings"):  # lines that moved, in a file that is named
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            listed = ", ".join(name or "of the whole network" for name in names[:MOST_NAMES])
            said.append(f"{kind} {listed}{more}")
    return f"other {'; other '.join(said)}"
