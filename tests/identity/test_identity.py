"""One thing at a time is another: the same numbers for the same seed ⇔ the same fingerprint."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.mutant import NETS, Genome, equal, look

FORMS = [
    line.split('"')[1].replace(" ", "_") for line in NETS.splitlines() if line.startswith('    "')
]
OPTIONS: dict[str, list[str]] = {
    "level": ["1", "2"],
    "act": ["relu", "gelu", "silu", "sigmoid"],
    "corners": ["false", "true"],
    "init": ["usual", "ortho", "zero", "small"],
    "weights": ["seed", "a", "b"],
    "frozen": ["", "conv", "fc"],
    "resting": ["false", "true"],
    "hook": ["false", "true"],
    "tied": ["false", "true"],
}
FEW = ("weights", "frozen", "hook")
"""Of the options, those that the quick tests vary."""
FILES = ("base", "deep", "file")
QUICK = settings(
    max_examples=4,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def genome(given: dict[str, str], **files: int) -> Genome:
    if given.get("frozen") == "fc" and given.get("init") == "zero":
        given = {**given, "frozen": "conv"}  # else nothing could ever change the numbers
    return Genome(tuple((key, value) for key, value in given.items() if value), **files)


def genomes() -> st.SearchStrategy[dict[str, str]]:
    axes = {key: st.sampled_from(values) for key, values in OPTIONS.items()}
    return st.fixed_dictionaries({"form": st.sampled_from(FORMS), **axes})


def check(*several: Genome) -> list[str]:
    """Every pair: the fingerprints are equal where the numbers are."""
    with tempfile.TemporaryDirectory() as folder:
        seen = [look(each, Path(folder) / str(n)) for n, each in enumerate(several)]
    for (one, a), (two, b) in itertools.combinations(seen, 2):
        assert (one == two) == equal(a, b), several
    return [mark for mark, _ in seen]


@pytest.mark.parametrize(
    "axis", [o if o in FEW else pytest.param(o, marks=pytest.mark.slow) for o in OPTIONS]
)
@QUICK
@given(data=st.data(), base=genomes())
def test_one_option_is_another(axis: str, data: Any, base: dict[str, str]) -> None:
    other = {**base, axis: data.draw(st.sampled_from(OPTIONS[axis]))}
    check(genome(base), genome(other))


@pytest.mark.slow
@pytest.mark.parametrize("axis", FILES)
@QUICK
@given(base=genomes(), value=st.sampled_from([1, 2]))
def test_one_file_is_another(axis: str, base: dict[str, str], value: int) -> None:
    before = genome({**base, "weights": "a", "init": "usual"})
    check(before, replace(before, **{axis: value}))


@pytest.mark.parametrize(
    "form",
    [f if n % 8 == 0 else pytest.param(f, marks=pytest.mark.slow) for n, f in enumerate(FORMS)],
)
def test_a_setting_counts_in_every_form(form: str) -> None:
    low, high = (genome({"form": form, "level": level}) for level in "12")
    a, b, again = check(low, high, high)
    assert a != b == again
