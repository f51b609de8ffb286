"""Several kinds of attention in one variant: how they are joined, named and refused."""

from __future__ import annotations

import pytest
from conftest import message, study_document

from ablate.errors import AblateError
from ablate.outline.asked import Asked
from ablate.result import ComputePath
from ablate.study import Option, Variant
from ablate.study.complete import complete_variant, options_at
from ablate.study.file import parse_study
from ablate.study.meant import meant_variants
from ablate.study.names import ATTENTION_OPTIONS

OWN: dict[str, dict[str, Option]] = {
    "a:A": {"reduction": 0.5, "groups": 32}, "b:B": {"reduction": 4, "groups": 16},
    "c:C": {"scales": "3+5"}, "d:D": {"kernel_size": -1},
}  # fmt: skip
KNOWN = {**ATTENTION_OPTIONS, **OWN}


def completed(attention: str, position: str | None = "pool1+pool3", **options: Option) -> Variant:
    return complete_variant(Variant("cbam_cnn", attention, position, tuple(options.items())), KNOWN)


@pytest.mark.parametrize(
    ("attention", "options", "name"),
    [
        ("se+cbam", {}, "se+cbam(pool1+pool3, r=16, k=7)"),
        (" se + cbam ", {"kernel_size": 3}, "se+cbam(pool1+pool3, r=16, k=3)"),
        ("se+cbam", {"reduction": "4+8"}, "se+cbam(pool1+pool3, r=4+8, k=7)"),
        ("cbam+eca", {}, "cbam+eca(pool1+pool3, r=16, k=7+0)"),
        ("cbam+eca", {"kernel_size": 5}, "cbam+eca(pool1+pool3, r=16, k=5)"),
        ("se+random_gate", {"gate_seed": 3}, "se+random_gate(pool1+pool3, r=16, gate_seed=3)"),
        (
            "se+cbam",
            {"start": "identity"},
            "se+cbam(pool1+pool3, r=16, k=7, start=identity)",
        ),
        ("se+a:A", {}, "se+a:A(pool1+pool3)"),
        ("se+a:A", {"reduction": 8}, "se+a:A(pool1+pool3, r=8)"),
        ("se+b:B", {}, "se+b:B(pool1+pool3, r=16+4)"),
        ("c:C", {}, "c:C(pool1+pool3)"),
        ("se+c:C", {"scales": "1+2+3"}, "se+c:C(pool1+pool3, r=16, scales=1+2+3)"),
        ("cbam+d:D", {}, "cbam+d:D(pool1+pool3, r=16)"),
        ("a:A+b:B", {"groups": 32}, "a:A+b:B(pool1+pool3, groups=32)"),
    ],
)
def test_a_name_says_what_is_built_and_is_read_again(
    attention: str, options: dict[str, Option], name: str
) -> None:
    """Defaults that differ stand by part, or where they are no whole numbers are each kind's own."""
    found = completed(attention, **options)
    assert found.name == name
    assert complete_variant(found, KNOWN) == found


def test_text_of_a_users_option_is_no_value_by_part() -> None:
    assert options_at(completed("se+c:C", scales="1+2"), 1, KNOWN)["scales"] == "1+2"
    assert "kernel_size" not in options_at(completed("cbam+d:D"), 1, KNOWN)


def test_the_same_kind_in_every_part_is_that_kind() -> None:
    assert completed("se+se") == completed("se")
    assert completed("se+se", reduction="4+8").name == "se(pool1+pool3, r=4+8)"
    assert completed("se+eca+se", "pool1+pool2+pool3").attention == "se+eca+se"


def test_an_option_goes_to_the_kinds_that_have_it() -> None:
    found = completed("se+eca+cbam", "pool1+pool2+pool3", reduction="4+8", kernel_size="3+5")
    assert [options_at(found, part, KNOWN) for part in range(3)] == [
        {"reduction": 4},
        {"kernel_size": 3},
        {"reduction": 8, "kernel_size": 5},
    ]
    plain = completed("se", reduction="4+8")
    assert [options_at(plain, part, KNOWN)["reduction"] for part in (0, 1)] == [4, 8]


@pytest.mark.parametrize(
    ("attention", "position", "options", "said"),
    [
        (
            "se+cbam", "pool1", {},
            "attention 'se+cbam' has 2 kinds, and the position 'pool1' has 1 part: give one kind for each "
            "part, or one for all",
        ),
        ("se+se", "pool1", {}, "attention 'se+se' has 2 kinds"),
        ("se+cbam", None, {}, 'se+cbam needs a position, for example "pool1+pool3"'),
        (
            "se+none", "pool1+pool3", {},
            "attention 'se+none': 'none' joins with nothing; leave it out, and its part of the position too",
        ),
        ("none+none", "pool1+pool3", {}, "'none' joins with nothing"),
        ("se+cbm", "pool1+pool3", {}, "unknown attention 'cbm' (did you mean 'cbam'?); there are: se, cbam,"),
        ("se+", "pool1+pool3", {}, "unknown attention ''; there are: se, cbam,"),
        (
            "se+cbam", "pool1+pool3", {"gate_seed": 1},
            "se+cbam takes no 'gate_seed'; it takes reduction, kernel_size, start. Give other attention its "
            "own [[grid]] table",
        ),
        (
            "se+cbam", "pool1+pool3", {"reduction": "4+8+16"},
            "se+cbam: reduction '4+8+16' has 3 values, and the position 'pool1+pool3' 2: give one for each"
            " part, or one for all",
        ),
        (
            "se+eca", "pool1+pool3", {"reduction": "4+8"},
            "se+eca: reduction '4+8' has 2 values, and of the position 'pool1+pool3' only pool1 can have it:"
            " give one for each of these, or one for all",
        ),
        ("se+a:A", "pool1+pool3", {"reduction": "4+8"}, "a:A: reduction must be of type float, not '4+8'"),
    ],
)  # fmt: skip
def test_what_cannot_be_joined_is_one_clear_line(
    attention: str, position: str | None, options: dict[str, Option], said: str
) -> None:
    assert said in message(AblateError, lambda: completed(attention, position, **options))


def test_where_kinds_or_values_go_by_part_the_order_of_places_is_meant() -> None:
    known = ["se+cbam(pool1+pool3, r=4, k=7)", "se(pool1+pool3, r=4+8)", "cbam(pool1+pool3, r=4)"]
    assert meant_variants("SE + CBAM(pool1+pool3)", known) == known[:1]
    assert meant_variants("se+cbam(r=4)", known) == known[:1]
    assert not meant_variants("se+cbam(pool3+pool1)", known)
    assert not meant_variants("cbam+se(pool1+pool3)", known)
    assert meant_variants("se(pool3+pool1)", known) == known[1:2]
    assert not meant_variants("se(pool3+pool1, r=4+8)", known)
    assert meant_variants("cbam(pool3+pool1, r=4)", known) == known[2:]


def test_a_grid_takes_joined_kinds_as_values() -> None:
    table = {"attention": ["se+cbam", "cbam+se"], "position": "pool1+pool3", "reduction": [4, 8]}
    study = parse_study(study_document(grid=[{"attention": "none"}, table]), "test")
    names = [complete_variant(variant, KNOWN).name for variant in study.variants()[1:]]
    assert names == [
        f"{kinds}(pool1+pool3, r={r}, k=7)" for kinds in ("se+cbam", "cbam+se") for r in (4, 8)
    ]


def test_a_path_has_the_kernels_of_every_kind() -> None:
    kernels = (("cbam", "fused"), ("eca", "plain"), ("se", "plain"))
    today = ComputePath("cpu", "fp32", "2", kernels)
    begun = ComputePath("cpu", "fp32", "2", (("cbam", "plain"), ("se", "fused")))
    assert dict(today.of("se+cbam").kernels) == {"cbam": "fused", "se": "plain"}
    followed = today.following(begun, "se+cbam")
    assert followed is not None
    assert dict(followed.kernels) == {"cbam": "plain", "eca": "plain", "se": "fused"}


def test_every_own_kind_of_joined_ones_is_asked_for() -> None:
    variants = (completed("se+a:A"), completed("b:B+a:A"), completed("se"))
    asked = Asked("cbam_cnn", variants, 10, 32)
    assert asked.own_attention == ("a:A", "b:B")
    assert asked.is_own
