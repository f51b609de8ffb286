"""What a user's metric is to the keys of runs, and proof of it where runs are measured."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from ablate.identity.own_function import FunctionProof, name_function, prove_function
from ablate.result.named import NamedFunction
from ablate.stats.own_metric import OwnMetric, find_own_metric

KIND = "metric"


def name_metric(metric: OwnMetric) -> NamedFunction:
    """What to prove of a metric that is planned."""
    return name_function(KIND, metric.name, *_parts(metric))


def prove_metric(named: NamedFunction) -> tuple[OwnMetric, FunctionProof]:
    """The metric as this process has it, which is the one that was named.

    Raises:
        CodeChangedError: a part is another, or it is not to be found any more; says which, in one line.
    """
    proof = prove_function(named, lambda: _parts(find_own_metric(named.name)))
    return find_own_metric(named.name), proof


def _parts(metric: OwnMetric) -> tuple[FunctionType, dict[str, Any]]:
    """The function, and its options as values and as they are written: values of a run are stored by its name
    in the study, so another way to write it has runs of its own.
    """
    written = metric.name.partition("(")[2]
    return metric.function, {**metric.options, **({"as written": written} if written else {})}
