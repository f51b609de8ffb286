"""What runs of a user's module is what its file says when it is imported, and that is kept."""

from __future__ import annotations

import importlib
import os
import py_compile
import sys
from collections.abc import Callable
from pathlib import Path

from ablate.system.software.imports import import_object
from ablate.system.software.modules import imported_source

OwnModule = Callable[[str, str], None]


def test_compiled_code_of_another_file_is_not_taken_for_this_one(
    own_module: OwnModule, tmp_path: Path
) -> None:
    """Of one size and time, as after an edit within a second or a copy that keeps times."""
    own_module("stale", "VALUE = 1\n")
    file = tmp_path / "stale.py"
    py_compile.compile(str(file))
    before = file.stat()
    own_module("stale", "VALUE = 2\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    importlib.invalidate_caches()
    assert import_object("stale:VALUE") == 2
    assert imported_source("stale") == b"VALUE = 2\n"


def test_what_was_imported_is_kept_whatever_lies_there_by_now(own_module: OwnModule) -> None:
    own_module("kept", "import kept_inner\nVALUE = kept_inner.VALUE\n")
    own_module("kept_inner", "VALUE = 1\n")
    assert import_object("kept:VALUE") == 1
    own_module("kept_inner", "VALUE = 2\n")
    assert imported_source("kept_inner") == b"VALUE = 1\n"
    importlib.reload(sys.modules["kept_inner"])
    assert imported_source("kept_inner") == b"VALUE = 2\n"


def test_of_what_is_installed_or_not_imported_nothing_is_kept(own_module: OwnModule) -> None:
    own_module("lone", "import rich.pager, fractions\n")
    sys.modules.pop("rich.pager", None)
    import_object("lone:rich")
    assert imported_source("rich.pager") is None is imported_source("not_imported")
    assert imported_source("lone") == b"import rich.pager, fractions\n"
