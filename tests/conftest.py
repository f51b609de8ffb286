"""What several test files share: a small study, a plan of it, a database, a cache of their own."""

from __future__ import annotations

import compileall
import itertools
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import event
from sqlalchemy.pool import Pool
from support.own_code import leaving_nothing
from support.postgres_server import Server, postgres

from ablate import cli
from ablate.job import Cohort
from ablate.plan import Plan, make_plan
from ablate.result import Started
from ablate.store.schema import metadata
from ablate.store.writing.store import Claim, Store
from ablate.study.file import parse_study
from ablate.system.hardware.machine import Machine, find_machine
from ablate.system.messages.pulse import MARK
from ablate.system.software.environment import describe_environment
from ablate.system.software.imports import allow_imports

__all__ = ["postgres"]  # a fixture

# Rewriting what tests assert takes seconds in each process: kept as bytecode, also where Python is told
# to keep none, as in images of containers.
sys.dont_write_bytecode = False
# One thread: tests run side by side, and training itself uses one.
torch.set_num_threads(1)
# What is told is English here, whatever the locale; what another language says is asked for.
os.environ["ABLATE_LANGUAGE"] = "en"


@event.listens_for(Pool, "checkout")
def _without_waiting_for_the_disk(connection: object, *_of_the_pool: object) -> None:
    """Databases of this process outlive it only as files of a test: thousands of commits need not reach the
    disk. Processes that tests start, and kill, wait for it as ever.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(autouse=True)
def no_own_code_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A later test of the process finds nothing of a user's package that one imported: not its modules, and
    not that it may be imported, which a node of Ray would be asked for.
    """
    # Before `monkeypatch`, as `own_cache` asks for them: after it, what that gives back would stay.
    with leaving_nothing(tmp_path_factory.getbasetemp()):
        yield


@pytest.fixture(autouse=True)
def own_cache(no_own_code_left: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or fills the user's cache, or what is remembered for the user."""
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ABLATE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("ABLATE_FILES", "")  # a command that was given --files sets it
    return tmp_path / "cache"


def pytest_configure(config: pytest.Config) -> None:
    """Compile the program: hundreds of processes would each do it for themselves where Python may write no
    bytecode.
    """
    if not hasattr(config, "workerinput"):  # once, not in each worker of xdist
        for folder in (Path(cli.__file__).parents[1], Path(__file__).parent / "support"):
            compileall.compile_dir(folder, quiet=2)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `gpu` run where `-m gpu` asks for them, as `make gpu-check` does, and nowhere else."""
    if item.get_closest_marker("gpu") is None:
        return
    if item.config.option.markexpr != "gpu":
        pytest.skip("`make gpu-check` runs it, on a machine with a CUDA device")
    if not torch.cuda.is_available():
        pytest.fail("no CUDA device here: torch finds none")


@pytest.fixture(scope="session")
def dot() -> Any:
    """The smallest picture, in every format."""
    from matplotlib.figure import Figure

    from ablate.page import canvas

    return canvas.saved(Figure((0.2, 0.2), dpi=20))


@pytest.fixture
def words_alone(dot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of reports are drawn once, for a broad window, and a dot is written in the place of each, which
    takes a hundredth of the time: for tests of what stands around them.
    """
    from ablate.page import canvas
    from ablate.report import gallery

    real, both = canvas.saved, gallery.for_both
    monkeypatch.setattr(canvas, "saved", lambda f: dot if canvas._KEPT.get() is None else real(f))
    monkeypatch.setattr(gallery, "for_both", lambda d: d() if canvas.can_word() else both(d))


class Shell:
    """Runs the command line in this process, in an empty folder.

    `told` is what the last command said of how far it is, which is no error.
    """

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.told: list[str] = []
        self.folder, self._monkeypatch, self._capsys = folder, monkeypatch, capsys
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "200")

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["ablate", *arguments])
        describe_environment.cache_clear()  # as in a process of its own
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        output = self._capsys.readouterr()
        self.told = [line for line in output.err.splitlines() if line.startswith(MARK)]
        errors = "".join(
            line for line in output.err.splitlines(keepends=True) if not line.startswith(MARK)
        )
        return code, output.out, errors

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    folder = tmp_path / "work"
    folder.mkdir()
    return Shell(folder, monkeypatch, capsys)


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes a module of the user's into the working directory, and allows it to be imported."""
    written: list[str] = []

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)
        written.append(name)
        allow_imports(written)

    monkeypatch.chdir(tmp_path)
    return write


def message(error: type[Exception] | tuple[type[Exception], ...], do: Callable[[], Any]) -> str:
    """The one line that is raised."""
    with pytest.raises(error) as caught:
        do()
    text = str(caught.value)
    assert "\n" not in text
    return text


def claim_one(store: Store, run_keys: Sequence[str]) -> Claim | None:
    """The first of these runs that is ready, claimed."""
    return next(iter(store.claim_cohort(run_keys, 1, str)), None)


def rows_of(url: str, sql: str) -> list[tuple[Any, ...]]:
    """What a query of a database gives, past the store."""
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
            return connection.execute(sql).fetchall()
    import psycopg

    with psycopg.connect(url) as server:
        return server.execute(sql).fetchall()


def remove(folder: Path) -> None:
    for file in sorted(folder.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    folder.rmdir()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path; missing it fails where CI promised to install it."""
    return found_or_skipped("chromium")


def found_or_skipped(program: str) -> str:
    """The path of a program that a test needs: absent, it skips the test, but fails it in CI."""
    path = shutil.which(program)
    if path is None:
        message = f"{program} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


def study_document(**changes: Any) -> dict[str, Any]:
    """A study of three variants and two seeds that trains in seconds."""
    recipe = {"epochs": 2, "batch_size": 64, "augment": ["crop"], **changes.pop("recipe", {})}
    return {
        "name": "small",
        "question": "Does it work?",
        "dataset": "digits",
        "backbone": "cbam_cnn(width=0.25)",
        "image_size": 16,
        "seeds": 2,
        "recipe": recipe,
        "grid": [
            {"attention": "none"},
            {"attention": "se", "position": ["pool1", "pool3"], "reduction": 8},
        ],
        **changes,
    }


def small_plan(**changes: Any) -> Plan:
    return make_plan(parse_study(study_document(**changes), "test"))


def run_events(cohort: Cohort) -> list[tuple[str, Any]]:
    """What a cohort yields of its runs, and of itself but for where it began."""
    (_, started), *events = cohort()
    assert isinstance(started, Started)
    return events


def machine_of(plan: Plan) -> Machine:
    """This machine's CPU in the precision of a plan."""
    return find_machine("cpu", plan.study.recipe.precision)


@pytest.fixture
def plan() -> Plan:
    return small_plan()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'results.db'}"


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture(scope="session")
def our_database(postgres: Server) -> str:
    """A PostgreSQL database with our schema, for all tests one after the other."""
    url = postgres.create("ours")
    Store(url).close()
    return url


@pytest.fixture
def postgres_url(our_database: str) -> str:
    """A PostgreSQL database with our schema and nothing in it; emptying is quicker than copying."""
    import psycopg

    with psycopg.connect(our_database) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = 'ours' AND pid <> pg_backend_pid()"
        )
        connection.execute(f"TRUNCATE {', '.join(metadata.tables)}")
    return our_database


@pytest.fixture
def empty_postgres_url(postgres: Server) -> Iterator[str]:
    """A PostgreSQL database with nothing in it."""
    name = f"t{next(_NUMBERS)}"
    yield postgres.create(name)
    postgres.drop(name)


_NUMBERS = itertools.count()


@pytest.fixture
def open_store() -> Iterator[Callable[[str], Store]]:
    """Opens stores, and closes them when the test is over."""
    opened: list[Store] = []

    def make(url: str) -> Store:
        opened.append(Store(url))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture(params=["sqlite", "postgres"])
def any_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A database of each kind; files beside it go to the test's own folder."""
    monkeypatch.chdir(tmp_path)
    return str(request.getfixturevalue(f"{request.param}_url"))
