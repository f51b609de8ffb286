"""Traces of the profiler where TensorBoard's plugin for them looks: below its folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Container
from pathlib import Path

from ablate.errors import OutputError
from ablate.system.files.atomic import whole_file
from ablate.system.files.inside import inside


def show_traces(traces: Path, logdir: Path, fingerprints: Container[str]) -> None:
    """Put the traces of these networks into `logdir/traces` too, as a second name of the same file where that
    can be.

    A link among them is left alone: it may lead to anything that this user can read.

    Raises:
        DatabaseError: a link in the place of that folder.
        OutputError: they cannot be written there.
    """
    shown = inside(logdir, "traces")
    for trace in sorted(traces.glob("*.pt.trace.json.gz")):
        if traces.is_symlink() or trace.is_symlink() or not trace.is_file():
            continue  # of another file, which is none of ours to show
        if trace.name.partition("-")[0] not in fingerprints:
            continue
        try:
            shown.mkdir(parents=True, exist_ok=True)
            _show(trace, shown / trace.name)
        except OSError as error:
            raise OutputError(f"{shown}: cannot be written: {error.strerror}") from None


def _show(trace: Path, shown: Path) -> None:
    if shown.exists() and os.path.samefile(trace, shown):
        return
    shown.unlink(missing_ok=True)
    try:
        os.link(trace, shown)
    except OSError:  # another file system
        with whole_file(shown) as copy:
            shutil.copyfile(trace, copy)
