"""Tests of one process stand beside each other: none finds a user's code that another imported."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest
from conftest import message
from support.own_code import CACHES, leaving_nothing

import ablate
from ablate.errors import StudyError
from ablate.model import identify
from ablate.study import Variant
from ablate.system.files.state import REHASH
from ablate.system.software.imports import ALLOWED, allow_imports, import_object, note_changed

NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, classes):
        pool = nn.AdaptiveAvgPool2d(1)
        super().__init__(nn.Conv2d(3, {width}, 3), pool, nn.Flatten(), nn.Linear({width}, classes))
"""


def write_package(folder: Path, width: int) -> Path:
    package = folder / "leftnets"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text(NET.format(width=width))
    return folder


def test_every_test_leaves_nothing_and_what_it_patched_is_given_back_before(
    request: pytest.FixtureRequest,
) -> None:
    order = request.fixturenames
    assert order.index("no_own_code_left") < order.index("monkeypatch")


def test_a_package_is_forgotten_with_all_that_let_it_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOWED, "before")
    monkeypatch.delenv(REHASH, raising=False)
    monkeypatch.chdir(write_package(tmp_path, width=4))
    path, marks = list(sys.path), []
    for folder in (tmp_path, write_package(tmp_path / "other", width=8)):
        with leaving_nothing(tmp_path):
            os.chdir(folder)
            os.environ[REHASH] = "1"
            allow_imports(["leftnets"])
            note_changed(["leftnets"], "study.toml")
            marks.append(identify(Variant("leftnets.nets:Net"), 3, 16))
            assert {"leftnets", "leftnets.nets"} <= sys.modules.keys()
            assert str(folder) in sys.path
        assert not {"leftnets", "leftnets.nets"} & sys.modules.keys()
        assert sys.path == path
        assert os.environ[ALLOWED] == "before"
        assert REHASH not in os.environ
        refusal = message(StudyError, lambda: import_object("leftnets.nets:Net"))
        assert refusal.endswith("add --allow-import leftnets")
    assert len(set(marks)) == 2, "the second package of the name is another"


def _allowed_and_missing(package: str) -> None:
    allow_imports([package])
    import_object(f"{package}.nets:Net")


def test_what_fails_leaves_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALLOWED, raising=False)
    with pytest.raises(StudyError, match="leftnets"), leaving_nothing(tmp_path):
        _allowed_and_missing("leftnets")
    assert ALLOWED not in os.environ


def test_modules_of_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with leaving_nothing(tmp_path):
        import_module("colorsys")
    assert "colorsys" in sys.modules


def test_all_that_is_remembered_of_a_name_is_forgotten() -> None:
    """Whatever is kept by a backbone, or by a call of a user's attention."""
    found = set()
    root = Path(ablate.__path__[0])
    for file in root.rglob("*.py"):
        if any(mark in file.read_text() for mark in ("@cache", "@lru_cache")):
            module = import_module(".".join(file.relative_to(root.parent).with_suffix("").parts))
            kept = [each for each in vars(module).values() if hasattr(each, "cache_clear")]
            found |= {each for each in kept if {"backbone", "call"} & {*signature(each).parameters}}
    assert found == set(CACHES)
