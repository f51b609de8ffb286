"""What a user's metric is: its options, and the source and libraries that its function reaches. Proven again
where runs are trained.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ablate.errors import AblateError, MetricChangedError
from ablate.identity.sources import Sources, folder_of, ran_other
from ablate.result.named import NamedMetric
from ablate.stats.own_metric import OwnMetric, find_own_metric
from ablate.system.digest import digest

ADVICE = (
    "bring it back to what it was and use --retry-failed, or `ablate plan` again: another metric has runs of "
    "its own"
)
SOURCE = "source "
MOST_NAMES = 3


def name_metric(metric: OwnMetric) -> NamedMetric:
    """What to prove of a metric that is planned."""
    return NamedMetric(metric.name, _marks(metric, as_imported=False))


@dataclass(frozen=True)
class ProvenMetric:
    """A metric of which this process has shown that it is the one which was planned, with the source of it
    (module → hash)."""

    metric: OwnMetric
    files: Mapping[str, str] = field(default_factory=dict)

    def check_code(self) -> None:
        """Look once more at what this process has imported: a function may import when it is called.

        Raises:
            MetricChangedError: other code ran than what was named.
        """
        others = [f"{SOURCE}{name}" for name, known in self.files.items() if ran_other(name, known)]
        if others:
            _refuse(self.metric.name, _in_words(others))


def prove_metric(named: NamedMetric) -> ProvenMetric:
    """Find the function in this process, and compare each part of it with what was named.

    Raises:
        MetricChangedError: a part is another, or it is not to be found any more; says which, in one line.
    """
    try:
        metric = find_own_metric(named.name)
        found = _marks(metric, as_imported=True)
    except AblateError as error:
        _refuse(named.name, f"when it was planned it was there, and now: {error}")
    others = [m for m in {**named.marks, **found} if found.get(m) != named.marks.get(m)]
    if others:
        _refuse(named.name, _in_words(others))
    files = {m.removeprefix(SOURCE): h for m, h in found.items() if m.startswith(SOURCE)}
    return ProvenMetric(metric, files)


def _marks(metric: OwnMetric, *, as_imported: bool) -> dict[str, str]:
    """By what each part is called. What running changes, such as a global variable, is none of them."""
    module = metric.name.partition(":")[0]
    starts = {module, str(inspect.unwrap(metric.function).__module__)}
    sources = Sources.reached_from(starts, as_imported=as_imported)
    return {
        **{f"{SOURCE}{name}": value for name, value in sources.files.items()},
        **{f"library {name}": value for name, value in sources.libraries.items()},
        **{f"environment variable {n}": digest({"is": v}) for n, v in sources.environment.items()},
        **{f"option {key}": digest({"is": repr(v)}) for key, v in metric.options.items()},
        **dict(_values_read(module, sources.read)),
    }


def _values_read(module: str, read: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What modules of theirs hold that read a file when they are imported."""
    if not read:
        return
    from ablate.identity.values import Describer  # torch, which most metrics do not need

    describe = Describer({}, str, named=True, folder=folder_of(module))
    for name, value in read.items():
        yield f"value that is read, {name}", digest({"is": describe.leniently(value)})


def _in_words(marks: list[str]) -> str:
    """`other source mypkg.metrics, library scipy`."""
    more = f" and {len(marks) - MOST_NAMES} more" if len(marks) > MOST_NAMES else ""
    return f"other {', '.join(marks[:MOST_NAMES])}{more}"


def _refuse(name: str, why: str) -> NoReturn:
    raise MetricChangedError(
        f"{name}: is not the metric that this run was planned with ({why}): {ADVICE}"
    )
