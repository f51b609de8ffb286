"""Positions: parts, prefixes, globs and names that have a glob's signs in them."""

from __future__ import annotations

import pytest

from ablate.study.position import PositionPart, escape, matches_glob, parts_of

NAMES = ["max[3]", "conv+bn", "1<-0", "a*b?", "it's", 'say"so"', "[!x]", "before:x", "]"]


def test_a_position_has_parts_with_prefixes() -> None:
    assert parts_of("pool1 + before:conv2+replace:b.*.se") == (
        PositionPart("after", "pool1"),
        PositionPart("before", "conv2"),
        PositionPart("replace", "b.*.se"),
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_escaped_path_names_itself_alone(name: str) -> None:
    path = f"ops.{name}.0"
    assert parts_of(escape(path)) == (PositionPart("after", escape(path)),)
    others = [f"ops.{other}.0" for other in (*NAMES, "max3", "x")]
    assert [other for other in others if matches_glob(other, escape(path))] == [path]
    assert parts_of(escape(name))[0].how == "after"


@pytest.mark.parametrize(
    ("path", "glob", "matches"),
    [
        ("ops.max[3]", 'ops."max[3]"', True),
        ("ops.max[3]", "ops.'max[3]'", True),
        ("ops.max[3]", "ops.max[3]", False),
        ("ops.max3", "ops.max[3]", True),
        ("ops.conv+bn", 'ops."conv+bn"', True),
        ("relu1", "relu[12]", True),
        ("a.b.c", "a.*", False),
    ],
)
def test_globs_go_name_by_name_and_quotes_are_meant_as_they_stand(
    path: str, glob: str, matches: bool
) -> None:
    assert matches_glob(path, glob) is matches
    assert parts_of(f"{glob}+x") == (PositionPart("after", glob), PositionPart("after", "x"))
