"""Networks side by side: each is drawn, under a title that no other has."""

from __future__ import annotations

import numpy as np
import pytest

from ablate.explain.titles import labels, titles_of
from ablate.page import canvas, pictures

LONG = "cbam(layer1.0.relu+layer2.0.relu+layer3.0.relu+layer4.0.relu, r={r}, k=7)"


def test_a_network_is_called_by_its_variant_alone_where_that_tells_it_apart() -> None:
    assert titles_of([("none", "a" * 16), ("se(pool1, r=8)", "")]) == ["none", "se(pool1, r=8)"]


def test_runs_of_one_variant_are_told_apart_by_their_keys() -> None:
    found = titles_of(
        [("se", "0123456789abcdef"), ("none", "f" * 16), ("se", "fedcba9876543210"), ("se", "")]
    )
    assert found == ["se, 01234567", "none", "se, fedcba98", "se"]
    assert titles_of([("se", "0" * 16)] * 2) == ["se, 00000000 (1)", "se, 00000000 (2)"]
    assert titles_of([("se", "")] * 2) == ["se (1)", "se (2)"]


@pytest.mark.parametrize(
    "names",
    [
        [LONG.format(r=4), LONG.format(r=16)],
        [LONG.format(r=4), LONG.format(r=4) + ", 01234567", LONG.format(r=4) + ", 76543210"],
        [f"{'x' * 60}{middle}{'y' * 60}" for middle in "abc"],
        ["x" * 60, "x" * 61, "x" * 60],
        ["a", "a\u200b"],
        [f"{'x' * 50}a{'y' * 50}1", f"{'x' * 50}a{'y' * 50}2", f"{'x' * 50}b"],
    ],
)
def test_names_that_begin_alike_are_told_apart_by_what_differs(names: list[str]) -> None:
    found = labels(names)
    assert len(set(found)) == len(names), found
    assert max(map(len, found)) < 50


def test_the_end_of_a_long_name_is_shown_where_it_alone_differs() -> None:
    assert [each.partition("r=")[2] for each in labels([LONG.format(r=4), LONG.format(r=16)])] == [
        "4, k=7)", "16, k=7)"
    ]  # fmt: skip
    assert labels([LONG.format(r=4), "none"]) == [canvas.label(LONG.format(r=4)), "none"]


def test_feature_maps_have_a_column_for_each_network_whatever_its_title() -> None:
    maps = {"conv1": np.zeros((2, 3, 3), dtype=np.float32)}
    with canvas.style():
        figure = pictures.feature_maps([("se", maps), ("se", maps)])
    assert [ax.get_title(loc="left").partition("\n")[0] for ax in figure.axes] == ["se", "se"]
