"""Names of variants that are meant, though they are not written out."""

from __future__ import annotations

import pytest
from conftest import message, study_document

from ablate.errors import StudyError, UnknownNameError
from ablate.plan import make_plan
from ablate.study.file import parse_study
from ablate.study.meant import find_variant

KNOWN = (
    "none", "se(pool1, r=4)", "se(pool1, r=16)", "se(pool1+pool3, r=16)", "cbam(pool1, r=4, k=3)",
    "cbam(pool1, r=4, k=7)", "cbam(pool3, r=4, k=7)", "eca(pool*, k=3)", "eca(pool*)",
)  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("se(pool1,r=4)", "se(pool1, r=4)"),
        (" SE( pool1 , r = 4 ", "se(pool1, r=4)"),
        ("se(r=4, pool1)", "se(pool1, r=4)"),
        ("se(pool3+pool1)", "se(pool1+pool3, r=16)"),
        ("cbam(pool3,r=4)", "cbam(pool3, r=4, k=7)"),
        ("cbam(k=3)", "cbam(pool1, r=4, k=3)"),
        ("eca(pool*)", "eca(pool*)"),
        ("eca( pool* )", "eca(pool*)"),
        ("None", "none"),
    ],
)
def test_the_only_variant_that_is_so_is_meant(typed: str, meant: str) -> None:
    assert find_variant(typed, KNOWN) == meant


def test_several_are_named_and_none_is_taken() -> None:
    said = message(UnknownNameError, lambda: find_variant("cbam(pool1,r=4)", KNOWN))
    assert said == (
        "variant 'cbam(pool1,r=4)' may be any of these, write one of them: cbam(pool1, r=4, k=3); "
        "cbam(pool1, r=4, k=7)"
    )
    for name in ("se(pool1, r=5)", "cbam(pool2)", "", "se(pool)", "s"):
        assert "unknown variant" in message(UnknownNameError, lambda n=name: find_variant(n, KNOWN))


def test_a_baseline_is_found_so_too() -> None:
    grid = [{"attention": "cbam", "position": ["pool1", "pool2"], "reduction": 4}]
    plan = make_plan(parse_study(study_document(grid=grid, baseline="cbam(pool1,r=4)"), "test"))
    assert plan.study.baseline == "cbam(pool1, r=4, k=7)"
    several = parse_study(study_document(grid=grid, baseline="cbam(r=4)"), "test")
    said = message(StudyError, lambda: make_plan(several))
    assert said.startswith("the baseline 'cbam(r=4)' is no variant of the grid")
