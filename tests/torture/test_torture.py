"""The short form of each row of the torture table: the same faults, fewer of them, the same bars."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.torture.figures import CannotBeDone, Figures, Row
from tests.torture.rows import ROWS


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_bar_is_held(row: Row, tmp_path: Path) -> None:
    try:
        figures = row.run(tmp_path / "torture", short=True)
    except CannotBeDone as reason:
        # PostgreSQL comes with the store's support of it; every program must be there in CI.
        if os.environ.get("CI") == "true" and "installed" in str(reason):
            pytest.fail(str(reason))
        pytest.skip(str(reason))
    # Other tests run beside this one: what takes how long is measured by `make torture`.
    assert row.broken(figures, patience=10) == [], f"{figures.done}: {figures.measured}"


def test_a_bar_that_is_not_held_is_named() -> None:
    row = Row(
        "x", "fault", "bar", lambda folder: Figures("", {}), {}, {}, most={"a": 0}, least={"b": 2}
    )
    assert row.broken(Figures("", {"a": 0, "b": 2})) == []
    assert row.broken(Figures("", {"a": 1, "b": 1})) == ["a 1 > 0", "b 1 < 2"]
    timed = Row("x", "fault", "bar", lambda folder: Figures("", {}), {}, {}, most={"a_seconds": 1})
    assert timed.broken(Figures("", {"a_seconds": 5}), patience=10) == []
    assert timed.broken(Figures("", {"a_seconds": 5})) == ["a_seconds 5 > 1"]
