"""PostgreSQL as itself: what is refused, what is said, what survives a server that goes away."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import psycopg
import pytest
from conftest import claim_one, message, rows_of
from sqlalchemy import Engine, event
from support.postgres_server import Server

from ablate.errors import DatabaseError
from ablate.plan import Plan
from ablate.result import Checkpoint, Cost, Epoch, Failed, Finished, ProfileRow, Step
from ablate.search.storage import close_storage, open_storage
from ablate.store.connection import postgres
from ablate.store.connection.address import files_folder, parse_url, shown
from ablate.store.connection.engine import WRITE, database_exists, open_engine
from ablate.store.connection.migrate import upgrade
from ablate.store.connection.revisions import HEAD
from ablate.store.maintenance.health import check_integrity
from ablate.store.progress.run_statuses import Stored, stored_of_study
from ablate.store.reading.frames import read_frames
from ablate.store.writing.claims import LostClaimError
from ablate.store.writing.store import Store

Opener = Callable[[str], Store]

STEP = Step(step=1, batch_loss=2.0, batch_accuracy=0.25, learning_rate=1e-3)
EPOCH = Epoch(1, 2.0, 0.5, 1.9, 0.55, None, None, 1e-3, 2.0, 500.0, (STEP,))
FINISHED = Finished(0.55, 0.5, 1.8, b"\xf0", 4.0, 500.0, "a machine", "fp32")
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"


@pytest.fixture
def url(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return postgres_url


@pytest.fixture
def store(url: str, plan: Plan, open_store: Opener) -> Store:
    made = open_store(url)
    made.register(plan)
    return made


def keys(plan: Plan) -> list[str]:
    return [str(cell.run_key) for cell in plan.cells]


def change(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement)


# ── addresses ─────────────────────────────────────────────────────────────────────────────────────


def test_a_password_is_never_shown() -> None:
    url = "postgres://me:secret@host:5433/name?sslmode=require"
    assert parse_url(url).password == "secret"
    assert shown(parse_url(url)) == "postgresql://me:***@host:5433/name?sslmode=require"


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("sqlite:////data/a.db", "/data"),
        ("some/a.db", "some"),
        ("postgresql://me@host/name", "results/name"),
        ("postgresql://me@other:1/name", "results/name"),
    ],
)
def test_files_lie_beside_sqlite_and_under_results_for_postgresql(url: str, folder: str) -> None:
    assert files_folder(url) == Path(folder)


def test_a_name_that_is_a_path_leads_nowhere() -> None:
    found = files_folder("postgresql://host/../../etc")
    assert found.parent == Path("results")
    assert len(found.name) == 16


def test_a_server_that_is_not_there_is_one_line_without_the_password() -> None:
    text = message(
        DatabaseError, lambda: open_engine("postgresql://me:secret@127.0.0.1:1/db", create=True)
    )
    assert text.startswith("postgresql://me:***@127.0.0.1:1/db: cannot be used as a database: ")
    assert "secret" not in text


def test_without_psycopg_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    text = message(DatabaseError, lambda: open_engine("postgresql://me@host/db", create=True))
    assert text.endswith("PostgreSQL needs psycopg: pip install 'psycopg[binary]'")


# ── whose database it is ──────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_an_empty_database_gets_the_schema_only_when_asked(
    empty_postgres_url: str, open_store: Opener, plan: Plan
) -> None:
    url = empty_postgres_url
    assert not database_exists(url)
    assert stored_of_study(url, plan.study, "", ["a"], {}) == Stored()
    text = message(DatabaseError, lambda: open_engine(url, create=False))
    assert text.endswith("there is no database yet: `ablate run STUDY` makes it")
    assert rows_of(url, TABLES) == []
    open_store(url)
    assert database_exists(url)
    assert rows_of(url, "SELECT version_num FROM ablate_version") == [(HEAD,)]


@pytest.mark.parametrize(
    ("made_by", "said"),
    [
        ("CREATE TABLE trials (x int)", "of another program (it has the table 'trials')"),
        (
            "CREATE TABLE ablate_version (version_num text);"
            "INSERT INTO ablate_version VALUES ('9999')",
            f"made by a newer ablate (revision 9999; this one knows {HEAD})",
        ),
    ],
    ids=["foreign", "newer"],
)
@pytest.mark.parametrize("create", [True, False])
def test_other_peoples_databases_are_refused_and_left_alone(
    empty_postgres_url: str, made_by: str, said: str, create: bool
) -> None:
    change(empty_postgres_url, made_by)
    before = rows_of(empty_postgres_url, TABLES)
    text = message(DatabaseError, lambda: open_engine(empty_postgres_url, create=create))
    assert said in text
    assert rows_of(empty_postgres_url, TABLES) == before


@pytest.mark.slow
def test_an_older_database_comes_up_to_date_whole_or_not_at_all(
    empty_postgres_url: str, open_store: Opener
) -> None:
    """Cut off at every third statement the upgrade leaves no trace; then it completes."""
    url = empty_postgres_url
    engine = postgres.make_engine(parse_url(url))
    with engine.execution_options(**WRITE).begin() as connection:
        upgrade(connection, "0001")
    engine.dispose()
    before = rows_of(url, TABLES)
    text = message(DatabaseError, lambda: open_engine(url, create=False))
    assert "an older database: `ablate run STUDY` brings it up to date" in text
    cuts = 0
    while _cut_off(url, at=1 + 3 * cuts):
        cuts += 1
        assert rows_of(url, TABLES) == before
        assert rows_of(url, "SELECT version_num FROM ablate_version") == [("0001",)]
    assert cuts > 8
    assert rows_of(url, "SELECT version_num FROM ablate_version") == [(HEAD,)]
    open_store(url)


def _cut_off(url: str, at: int) -> bool:
    """Open a database and fail at a statement; False if there are not so many."""
    seen = 0

    def fail(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == at:
            raise KeyboardInterrupt

    event.listen(Engine, "before_cursor_execute", fail)
    try:
        open_engine(url, create=True).dispose()
    except KeyboardInterrupt:
        return True
    finally:
        event.remove(Engine, "before_cursor_execute", fail)
    return False


@contextmanager
def encoded(server: Server, encoding: str) -> Iterator[str]:
    name = encoding.lower()
    template = f"TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
    server.execute(f"CREATE DATABASE {name} {template}")
    try:
        yield server.url(name)
    finally:
        server.drop(name)


@pytest.mark.slow
def test_a_database_of_plain_bytes_keeps_names(
    postgres: Server,
    plan: Plan,
    open_store: Opener,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with encoded(postgres, "SQL_ASCII") as url:
        open_store(url).register(plan)
        names = read_frames(url, plan.study.name, plan.study.setting).runs["variant"]
        assert set(names) == {cell.variant.name for cell in plan.cells}
    with encoded(postgres, "SQL_ASCII") as url:
        storage = open_storage(url, create=True)
        optuna.create_study(storage=storage, study_name="größer")
        assert optuna.get_all_study_names(storage) == ["größer"]
        close_storage(storage)


def test_a_database_that_cannot_hold_every_name_is_refused(postgres: Server) -> None:
    with encoded(postgres, "LATIN1") as url:
        text = message(DatabaseError, lambda: open_engine(url, create=True))
    assert text.endswith(
        "its encoding is LATIN1, which cannot hold every name: make a database with ENCODING 'UTF8'"
    )


# ── the same as in SQLite ─────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_report_reads_the_same_from_both(
    plan: Plan, url: str, sqlite_url: str, open_store: Opener
) -> None:
    frames = []
    for each in (sqlite_url, url):
        fill(plan, open_store(each))
        frames.append(read_frames(each, "small", plan.study.setting))
        assert check_integrity(each) == []
    for name in ("runs", "epochs", "steps", "costs", "profile", "layers"):
        ours, theirs = (getattr(each, name).drop(columns=CLOCK, errors="ignore") for each in frames)
        assert len(ours), name
        pd.testing.assert_frame_equal(theirs, ours, check_dtype=False)
    assert frames[0].study == frames[1].study
    assert frames[0].environments == frames[1].environments == [{"commit": "abc", "torch": "2"}]


CLOCK = ["started_at", "finished_at", "measured_at"]


def fill(plan: Plan, store: Store) -> None:
    store.register(plan)
    environment = {"commit": "abc", "torch": "2"}
    first, second = store.claim_cohort(keys(plan), 2, lambda _: 0)
    store.add_epoch(first, EPOCH)
    store.finish(first, FINISHED, environment)
    store.fail(second, Failed("error", "a NUL \0 and half a pair \ud800"), {"commit": "def"})
    mark = plan.cells[0].architecture.fingerprint
    cost = Cost(
        mark, "m", "fp32", "train", 64, 100.0, 90, 110, None, None, 9, "quick", baseline=mark
    )
    store.costs.add_costs([cost], environment)
    assert store.costs.measured("m", "fp32", 64, mark, "2") == {mark}
    store.costs.add_profile([ProfileRow(mark, "m", "as_trained", None, "conv", 0.0, 1.0, 1.0, 1.0)])


def test_operations_beyond_32_bits_are_stored(store: Store, url: str) -> None:
    change(url, "UPDATE architectures SET macs = 4089184256")
    assert rows_of(url, "SELECT DISTINCT macs FROM v_runs") == [(4_089_184_256,)]


def test_a_run_goes_on_here_without_the_files_of_another_machine(
    plan: Plan, store: Store, url: str
) -> None:
    claim = claim_one(store, keys(plan))
    assert claim is not None
    store.add_epoch(claim, EPOCH)
    store.add_checkpoint(claim, Checkpoint(1, b"state"))
    for file in (files_folder(url) / "checkpoints").iterdir():
        file.unlink()
    store.stop(claim)
    heir = claim_one(store, keys(plan))
    assert heir is not None
    assert store.resume(heir) is None
    assert rows_of(url, "SELECT COUNT(*) FROM epochs") == [(0,)]


# ── locks and lost connections ────────────────────────────────────────────────────────────────────


def test_a_row_that_stays_locked_is_one_line(
    plan: Plan, url: str, open_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgres.SESSION, "lock_timeout", "100ms")
    store = open_store(url)
    store.register(plan)
    claim = claim_one(store, keys(plan))
    assert claim is not None
    with psycopg.connect(url) as other:
        other.execute("SELECT * FROM runs FOR UPDATE")
        text = message(DatabaseError, lambda: store.add_epoch(claim, EPOCH))
        assert "cannot be written: canceling statement due to lock timeout" in text
        assert claim_one(store, keys(plan)[:1]) is None
    store.add_epoch(claim, EPOCH)
    assert rows_of(url, "SELECT COUNT(*) FROM v_epochs") == [(1,)]


def test_a_claim_passes_over_what_another_one_is_claiming(
    plan: Plan, store: Store, url: str
) -> None:
    with psycopg.connect(url) as other:
        other.execute(f"SELECT * FROM runs WHERE run_key = '{keys(plan)[0]}' FOR UPDATE")  # noqa: S608
        claim = claim_one(store, keys(plan))
    assert claim is not None
    assert claim.run_key == keys(plan)[1]


@contextmanager
def losing(store: Store, *, after_commit: bool) -> Iterator[list[str]]:
    """The connection is lost at the next commit: before it took place, or before that is heard of."""
    dialect, lost = store._engine.dialect, []
    commit = type(dialect).do_commit

    def lose(connection: Any) -> None:
        if lost:
            commit(dialect, connection)
            return
        if after_commit:
            commit(dialect, connection)
        lost.append("once")
        driver = connection.driver_connection
        driver.close()
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    dialect.do_commit = lose
    try:
        yield lost
    finally:
        del dialect.do_commit


@pytest.mark.slow
@pytest.mark.parametrize("after_commit", [False, True])
def test_a_connection_that_is_lost_at_a_commit_loses_and_doubles_nothing(
    plan: Plan, store: Store, url: str, after_commit: bool
) -> None:
    def tried(do: Callable[[], Any]) -> Any:
        with losing(store, after_commit=after_commit) as lost:
            answer = do()
        assert lost
        return answer

    claims = tried(lambda: store.claim_cohort(keys(plan), 3, lambda _: 0))
    assert [claim.run_key for claim in claims] == keys(plan)[:3]
    assert rows_of(url, "SELECT COUNT(*), MAX(number) FROM attempts") == [(3, 1)]
    first, second, third = claims
    tried(lambda: store.add_epoch(first, EPOCH))
    tried(lambda: store.finish(first, FINISHED, {"commit": "abc"}))
    tried(lambda: store.fail(second, Failed("diverged", "nan")))
    assert tried(lambda: store.lose(third, "gone")) is None
    states = "SELECT status, epochs FROM v_runs ORDER BY ordinal LIMIT 3"
    assert rows_of(url, states) == [("finished", 1), ("failed", 0), ("stopped", 0)]
    outcomes = rows_of(url, "SELECT outcome FROM attempts ORDER BY outcome")
    assert outcomes == [("failed",), ("finished",), ("lost",)]
    with pytest.raises(LostClaimError):
        store.add_epoch(first, EPOCH)


def test_a_server_that_ends_all_connections_is_asked_again(
    plan: Plan, store: Store, url: str
) -> None:
    claim = claim_one(store, keys(plan))
    assert claim is not None
    change(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    store.add_epoch(claim, EPOCH)
    assert rows_of(url, "SELECT COUNT(*) FROM v_epochs") == [(1,)]
