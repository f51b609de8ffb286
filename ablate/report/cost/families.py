"""Where the time of a training step goes by kind of work: from modules and operators to families."""

from __future__ import annotations

import re

import pandas as pd

from ablate.report.summary import Summary
from ablate.result.architecture import ATTACHED_AS, BEFORE_AS
from ablate.result.cost import AUGMENTATION, NETWORK, OPTIMIZER, STEP
from ablate.study import NO_ATTENTION
from ablate.system.messages.language import N_

FAMILIES = (
    *(N_("convolution"), N_("norm"), N_("activation"), N_("pool"), N_("linear"), N_("attention")),
    *(N_("other"), N_("optimizer"), N_("augmentation")),
)
ATTENTION, OTHER, MAKING = "attention", "other", "augmentation"

OUTSIDE = {OPTIMIZER: "optimizer", AUGMENTATION: MAKING, STEP: OTHER}
"""What in a profile is no part of the network."""

OPERATORS = {
    "convolution": "conv",
    "norm": "norm",
    "pool": "pool",
    "activation": "relu|threshold|gelu|silu|elu|sigmoid|tanh|hardswish|softplus|mish",
    "linear": r"linear|addmm|matmul|::b?mm$",
}
"""Which operators are of a family whatever module they are in; a residual block may call relu itself."""

_INSERTED = {ATTACHED_AS, BEFORE_AS}

COLUMNS = ["variant", "device", "module", "operator", "family", "us"]


def module_times(summary: Summary) -> pd.DataFrame:
    """Self time of one step by variant, device, module and operator, with its family.

    Time on the device where there is one, else on the CPU.
    """
    rows = summary.profile[summary.profile["path"] == "eager"]
    rows = rows[rows["module"].notna()]
    plain = {v.name for v in summary.variants if v.name.partition("(")[0] == NO_ATTENTION}
    parts = []
    for (variant, device), group in rows.groupby(["variant", "device"], sort=False):
        on_device = group["self_device_us"].fillna(0).astype(float)
        us = on_device if on_device.sum() > 0 else group["self_cpu_us"].fillna(0).astype(float)
        told = group.assign(us=us, variant=str(variant), device=str(device))
        parts.append(told.assign(family=families(told, inserted=str(variant) not in plain)))
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def families(rows: pd.DataFrame, *, inserted: bool) -> pd.Series:
    """The family of each row (module, operator). What an operator does not tell its module tells, if
    everything that is known of it is of one family; `inserted` says whether there
    is attention.
    """
    known = rows["operator"].map(_of_operator)
    of_module = {
        str(module): names.iloc[0]
        for module, names in known.dropna().groupby(rows["module"])
        if names.nunique() == 1 and module != NETWORK
    }
    found = known.fillna(rows["module"].map(of_module)).fillna(OTHER)
    found = rows["module"].map(OUTSIDE).fillna(found)
    return found.mask(rows["module"].map(is_attention) & inserted, ATTENTION)


def is_attention(module: str) -> bool:
    """Whether a module's path leads into attention that was inserted."""
    return not _INSERTED.isdisjoint(module.split("."))


def attended_module(module: str) -> str:
    """At which module the attention at a path stands: `pool1.attention.channel` → `pool1`."""
    parts = module.split(".")
    end = next(i for i, part in enumerate(parts) if part in _INSERTED)
    before = "before " if parts[end] == BEFORE_AS else ""
    return f"{before}{'.'.join(parts[:end]) or 'the input'}"


def step_only(times: pd.DataFrame) -> pd.DataFrame:
    """Without the making of batches, which comes before a step and is shared by runs of a cohort."""
    return times[times["family"] != MAKING]


def _of_operator(operator: str) -> str | None:
    lower = operator.lower()
    return next((name for name, words in OPERATORS.items() if re.search(words, lower)), None)
