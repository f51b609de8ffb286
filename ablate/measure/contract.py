"""The contract of attention: what every module must hold, ours and a user's, as one list of checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from ablate.attention import ATTENTION, OwnCall, complete, options_at
from ablate.errors import AblateError, OptionError
from ablate.measure.contract_checks import (
    CHANNELS,
    CHECKS,
    FIRST,
    SEED,
    SIDE,
    BrokenError,
    Check,
    Subject,
)
from ablate.measure.operations import Operations, count_operations
from ablate.network.fresh import make_own_attention
from ablate.study import Option, Variant
from ablate.study.variant import is_own_attention, kinds_of
from ablate.system.messages.text import one_line
from ablate.system.process.randomness import seeded
from ablate.system.software.imports import prints_to_stderr

KNOWN = {
    "view size is not compatible": "write .reshape instead of .view: training uses channels-last maps",
    "Expected more than 1 value per channel": "batch norm needs more than one value: leave it out of "
    "what is pooled to 1×1, or use another norm",
    "inplace operation": "an in-place operation changes what the backward needs",
    "in-place operation": "x = x * gate, not x *= gate; no inplace=True on x",
    "pickle": "define what it keeps at the top of a module, no lambda and no class within a function",
}
"""Part of what PyTorch says → what to do."""


@dataclass(frozen=True)
class Held:
    """What came of one check: None where it held, or what is wrong."""

    check: str
    wrong: str | None
    advice: str

    @property
    def held(self) -> bool:
        return self.wrong is None


@dataclass(frozen=True)
class Cost:
    """Parameters and operations on a map of 64×32×32."""

    parameters: int
    operations: Operations


def subject_of(name: str, options: dict[str, Option]) -> Subject:
    """Attention by its name, ours or a user's.

    Raises:
        UnknownNameError: no such attention.
        OptionError: options that it does not have.
        StudyError: a user's that may not be imported, or cannot be.
    """
    if len(kinds_of(name)) > 1:
        raise OptionError(f"{name}: the contract is of one module: check each kind by itself")
    whole = complete(Variant("any", name, "any", tuple(options.items())))
    if is_own_attention(name):
        return Subject(name, lambda shape: make_own_attention(OwnCall(name, shape, whole.options)))
    return Subject(name, lambda shape: ATTENTION[name](shape[0], **options_at(whole, 0)))


def look_at(subject: Subject, checks: Mapping[str, Check] = CHECKS) -> Iterator[Held]:
    """Every check, one after the other; where the first does not hold, the others say nothing.

    Raises:
        StudyError: it cannot be built for the first map.
    """
    subject.module(CHANNELS, SIDE)
    for name, check in checks.items():
        held = run_check(subject, name, check)
        yield held
        if name == FIRST and not held.held:
            return


def run_check(subject: Subject, name: str, check: Check) -> Held:
    """One check; whatever a module raises is what is wrong with it."""
    try:
        with prints_to_stderr(), seeded(SEED):
            check.look(subject)
    except BrokenError as error:
        return Held(name, str(error), check.advice)
    except AblateError as error:
        return Held(name, str(error), "")  # which says what to do
    except Exception as error:
        said = one_line(error)
        advice = next((text for part, text in KNOWN.items() if part in said), check.if_raised)
        return Held(name, said, advice)
    return Held(name, None, check.advice)


def cost_of(subject: Subject) -> Cost:
    """What it costs on a map of 64×32×32."""
    module = subject.module(CHANNELS, SIDE)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Cost(parameters, count_operations(module, (CHANNELS, SIDE, SIDE)))


def followed_by_fx(subject: Subject) -> bool:
    """Whether torch.fx can follow its forward: a remark, nothing here needs it."""
    module = subject.module(CHANNELS, SIDE).eval()
    inner = getattr(module, "module", module)
    try:
        with prints_to_stderr():
            torch.fx.symbolic_trace(inner)
    except Exception:
        return False  # for whatever reason
    return True
