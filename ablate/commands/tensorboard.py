"""`ablate tensorboard`: event files that follow the database, and TensorBoard on this machine."""

from __future__ import annotations

import contextlib
import shlex
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ablate.errors import DatabaseError
from ablate.store.connection.address import files_folder
from ablate.store.connection.engine import reading
from ablate.store.reading.follow import FollowedRun, followed_content
from ablate.study import Study, Variant
from ablate.system.files.lock import only_one
from ablate.system.messages.command_line import without_password
from ablate.system.messages.console import say
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import plural
from ablate.tensorboard.follow import Follower
from ablate.tensorboard.serve import serve
from ablate.tensorboard.traces import show_traces

FOLLOW_SECONDS = 5.0


@dataclass(frozen=True)
class TensorBoardOptions:
    """What `ablate tensorboard` was asked for; `logdir` is None for the one beside the database, `data` for
    all images that the study was run on.
    """

    logdir: Path | None
    port: int
    rebuild: bool
    serve: bool
    data: Path | None = None


def show_tensorboard(study: Study | None, url: str, options: TensorBoardOptions) -> None:
    """Write the event files of a study, or of the whole database, and serve them until Ctrl-C.

    Raises:
        DatabaseError: there is no database, it cannot be read, or the study was run otherwise.
        OutputError: the folder cannot be written, or another process keeps it.
        OptionError: there is no free port.
    """
    with reading(url):
        pass  # without a database nothing is made
    content = None if study is None else _content(study, url, options.data)
    results = files_folder(url)
    logdir = options.logdir or results / "tensorboard"
    follower = Follower(
        url,
        logdir,
        study=study.name if study else None,
        setting=study.setting if study else None,
        content=content,
        rebuild=options.rebuild,
        graph_of=_graph,
    )
    with _alone(logdir):
        console = Console()
        PULSE.step("writing event files")
        count = follower.update()
        show_traces(results / "traces", logdir, follower.fingerprints)
        say(f"wrote {logdir}: event files of {plural(count, 'run')}", console)
        if options.serve:
            PULSE.end()
            _serve(console, follower, options.port)
        else:
            PULSE.step("drawing pictures")
            while follower.draw_next():
                pass
            say(f"next: {_served_by(url, logdir)}", console)


def _served_by(url: str, logdir: Path) -> str:
    """The command that shows these files, whatever database they are of."""
    return f"ablate tensorboard --db {shlex.quote(without_password(url))} --logdir {shlex.quote(str(logdir))}"


def _content(study: Study, url: str, data: Path | None) -> str | None:
    """The hash of the images that are meant, None for all that the study was run on."""
    if data is None:
        return followed_content(url, study.name, study.setting)
    # Here, not above: it loads pandas, which curves do without.
    from ablate.commands.chosen import which_at

    which = which_at(data, study)
    return followed_content(url, study.name, study.setting, which.content_hash, which.name)


def _graph(run: FollowedRun) -> bytes | None:
    # Here, not above: torch takes seconds, in which the curves can be seen already.
    from ablate.measure.graph import stored_graph

    options = tuple(run.options.items())
    variant = Variant(run.backbone, run.attention, run.position, options)
    return stored_graph(variant, run.fingerprint, run.layers, run.image_size, run.identity)


def _serve(console: Console, follower: Follower, port: int) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        address = serve(follower.logdir, port)
        taken = "" if f":{port}/" in address else f" (port {port} is in use)"
        say(f"TensorBoard: {address}{taken}; it follows the database; Ctrl-C ends it", console)
        _follow(console, follower)


def _follow(console: Console, follower: Follower) -> None:
    """Until interrupted. A database that cannot be read now may be readable the next time."""
    last = ""
    while True:
        until = time.monotonic() + FOLLOW_SECONDS
        try:
            while time.monotonic() < until and follower.draw_next():
                pass
            time.sleep(max(0.0, until - time.monotonic()))
            follower.update()
        except DatabaseError as error:
            if str(error) != last:
                last = str(error)
                say(last, console)


def _alone(logdir: Path) -> AbstractContextManager[None]:
    """The right to write there: two that follow one database would write everything twice."""
    return only_one(
        logdir / ".lock",
        f"{logdir}: another `ablate tensorboard` keeps it up to date: use its page, "
        "or give another folder with --logdir",
    )
