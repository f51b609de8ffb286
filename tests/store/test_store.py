"""The database: its promises kept, its claims exclusive, other people's files untouched."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from conftest import claim_one, message, rows_of, small_plan
from sqlalchemy import Connection, event
from support.store_processes import claim_all

import ablate.store
from ablate.errors import DatabaseError
from ablate.plan import Plan
from ablate.result import Checkpoint, Cost, Epoch, Failed, Finished, ProfileRow, RunStatus, Step
from ablate.store import schema
from ablate.store.connection import sqlite, transaction
from ablate.store.connection.engine import open_engine
from ablate.store.connection.revisions import HEAD, REVISIONS, VERSION_TABLE
from ablate.store.maintenance.health import check_integrity
from ablate.store.progress.run_statuses import Stored, stored_of_study
from ablate.store.progress.speeds import stored_speed
from ablate.store.reading.frames import Which, read_frames
from ablate.store.writing.store import LostClaimError, Store
from ablate.system.process.owner import Owner, current_owner

COLUMNS = {
    "v_runs": "run_key study variant fingerprint backbone attention position reduction kernel_size "
    "dataset seed status failure attempts epochs val_accuracy test_accuracy parameters "
    "attention_parameters macs seconds train_images_per_second device precision started_at "
    "finished_at dataset_hash",
    "v_epochs": "run_key epoch train_loss train_accuracy val_loss val_accuracy test_loss "
    "test_accuracy learning_rate seconds images_per_second",
    "v_steps": "run_key step batch_loss batch_accuracy learning_rate",
    "v_costs": "variant fingerprint device precision mode batch_size images_per_second p10 p90 "
    "latency_ms peak_memory_mib",
    "v_predictions": "run_key image label predicted probability correct",
    "v_profile": "fingerprint device path module operator self_device_us self_cpu_us calls share",
    "v_looks": "study dataset dataset_hash setting number looked_at rule command n planned margin family",
}
"""The columns that are promised; a view may have more."""

STEP = Step(step=1, batch_loss=2.0, batch_accuracy=0.25, learning_rate=1e-3)
EPOCH = Epoch(1, 2.0, 0.5, 1.9, 0.55, None, None, 1e-3, 2.0, 500.0, (STEP,))
FINISHED = Finished(0.55, 0.5, 1.8, b"\xf0", 4.0, 500.0, "a machine", "fp32")


@pytest.fixture
def url(any_url: str) -> str:
    """Both kinds of database keep the same promises."""
    return any_url


Opener = Callable[[str], Store]


@pytest.fixture
def store(url: str, plan: Plan, open_store: Opener) -> Store:
    made = open_store(url)
    made.register(plan)
    return made


def keys(plan: Plan) -> list[str]:
    return [str(cell.run_key) for cell in plan.cells]


def test_the_views_have_the_promised_columns(store: Store, url: str) -> None:
    for view, promised in COLUMNS.items():
        columns = ", ".join(promised.split())
        assert rows_of(url, f"SELECT {columns} FROM {view}") is not None, view  # noqa: S608


@pytest.mark.slow
def test_migrations_make_what_the_schema_says(store: Store, url: str) -> None:
    with store._engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, schema.metadata) == []


def test_the_known_revisions_are_those_of_the_migrations() -> None:
    folder = Path(ablate.store.__file__).parent / "migrations"
    scripts = ScriptDirectory(str(folder))
    assert scripts.get_current_head() == HEAD
    assert {script.revision for script in scripts.walk_revisions()} == set(REVISIONS)


@pytest.mark.slow
def test_a_registered_plan_is_in_v_runs_as_planned(plan: Plan, store: Store, url: str) -> None:
    rows = rows_of(
        url,
        "SELECT study, run_key, variant, position, reduction, seed, status FROM v_runs ORDER BY ordinal",
    )
    assert [row[1] for row in rows] == keys(plan)
    assert rows[0] == ("small", keys(plan)[0], "none", None, None, 1, "planned")
    assert rows[1][2:] == ("se(pool1, r=8)", "pool1", 8, 1, "planned")
    store.register(plan)
    assert rows_of(url, "SELECT COUNT(*) FROM v_runs") == [(len(plan.cells),)]


def known_of(plan: Plan, url: str) -> Stored:
    """What a database has of a plan's runs, as `ablate plan` asks for it."""
    networks = {name: each.fingerprint for name, each in plan.variants.items()}
    content = str(plan.dataset.content_hash())
    return stored_of_study(url, plan.study, content, keys(plan), networks)


def test_a_run_from_claim_to_result(plan: Plan, store: Store, url: str) -> None:
    claim = claim_one(store, keys(plan))
    assert claim is not None
    assert claim.run_key == keys(plan)[0]
    store.add_epoch(claim, EPOCH)
    store.finish(claim, FINISHED, {"commit": "abc"})
    row = rows_of(
        url,
        "SELECT status, attempts, epochs, val_accuracy, test_accuracy, device, precision, failure "
        "FROM v_runs WHERE run_key = '" + claim.run_key + "'",
    )
    assert row == [("finished", 1, 1, 0.55, 0.5, "a machine", "fp32", None)]
    assert rows_of(url, "SELECT step, batch_loss FROM v_steps") == [(1, 2.0)]
    assert rows_of(url, "SELECT epoch, test_loss FROM v_epochs") == [(1, None)]
    assert known_of(plan, url).statuses[claim.run_key] == "finished"
    content, recipe = str(plan.dataset.content_hash()), plan.study.recipe.model_dump(mode="json")
    assert stored_speed(url, "a machine", content, {**recipe, "batch_size": 7}) == {}
    assert list(stored_speed(url, "a machine", content, recipe).values()) == [4.0]


def test_claims_go_in_the_plans_order_and_never_twice(
    plan: Plan, store: Store, url: str, open_store: Opener
) -> None:
    other = open_store(url)
    claims = [claim_one(s, keys(plan)) for s in (store, other) * (len(plan.cells) // 2)]
    assert [claim.run_key for claim in claims if claim] == keys(plan)
    assert claim_one(store, keys(plan)) is None


def test_a_failed_run_is_not_claimed_until_that_is_asked_for(
    plan: Plan, store: Store, url: str
) -> None:
    first = keys(plan)[:1]
    claim = claim_one(store, first)
    assert claim is not None
    store.fail(claim, Failed("diverged", "loss is nan", 3))
    assert claim_one(store, first) is None
    assert rows_of(url, "SELECT failure, error FROM v_runs WHERE status = 'failed'") == [
        ("diverged", "loss is nan")
    ]
    assert store.retry_failed(first) == 1
    again = claim_one(store, first)
    assert again is not None
    assert again.attempt == 2


def test_a_zombie_changes_nothing(plan: Plan, store: Store, url: str) -> None:
    zombie = claim_one(store, keys(plan))
    assert zombie is not None
    assert store.take_back(zombie.run_key, zombie.token)
    heir = claim_one(store, keys(plan))
    assert heir is not None
    assert heir.run_key == zombie.run_key
    before = rows_of(url, "SELECT * FROM runs ORDER BY run_key")
    for write in (
        lambda: store.resume(zombie),
        lambda: store.add_epoch(zombie, EPOCH),
        lambda: store.add_checkpoint(zombie, Checkpoint(1, b"late")),
        lambda: store.finish(zombie, FINISHED, {}),
        lambda: store.fail(zombie, Failed("error", "late")),
    ):
        with pytest.raises(LostClaimError):
            write()
    store.stop(zombie)
    store.renew([zombie])
    assert not store.take_back(zombie.run_key, zombie.token)
    assert rows_of(url, "SELECT * FROM runs ORDER BY run_key") == before
    assert rows_of(url, "SELECT COUNT(*) FROM epochs") == [(0,)]
    store.add_epoch(heir, EPOCH)


def test_who_runs_what_and_whether_it_lives(plan: Plan, store: Store) -> None:
    claim = claim_one(store, keys(plan))
    assert claim is not None
    store.renew([claim])
    [(run_key, (owner, token, heartbeat))] = store.running(keys(plan)).items()
    assert (run_key, token, heartbeat) == (claim.run_key, claim.token, 1)
    assert owner == current_owner()
    assert not owner.is_gone()


def test_an_owner_is_gone_when_its_process_is_or_its_number_was_reused() -> None:
    me = current_owner()
    assert Owner(me.host, me.pid, me.started - 100).is_gone()
    free = next(pid for pid in range(99_999, 1, -1) if not psutil.pid_exists(pid))
    assert Owner(me.host, free, me.started).is_gone()
    elsewhere = Owner("elsewhere/boot", me.pid, me.started - 100)
    assert not elsewhere.is_gone()
    assert not elsewhere.is_here()


def test_a_shrunk_study_keeps_its_runs_but_not_their_cells(url: str, open_store: Opener) -> None:
    store, large, small = open_store(url), small_plan(seeds=3), small_plan(seeds=1)
    store.register(large)
    store.register(small)
    assert [row[0] for row in rows_of(url, "SELECT run_key FROM v_runs ORDER BY ordinal")] == keys(
        small
    )
    assert rows_of(url, "SELECT COUNT(*) FROM runs") == [(len(large.cells),)]


def test_another_recipe_of_the_same_study_stands_beside_it(url: str, open_store: Opener) -> None:
    store, short = open_store(url), small_plan(recipe={"epochs": 1})
    store.register(small_plan())
    store.register(short)
    assert len(rows_of(url, "SELECT DISTINCT setting FROM v_runs")) == 2
    frames = read_frames(url, "small", short.study.setting)
    assert set(frames.runs["run_key"]) == set(keys(short))
    assert frames.study["recipe"]["epochs"] == 1


def test_costs_and_profiles_replace_what_was_measured_before(
    plan: Plan, store: Store, url: str
) -> None:
    mark = plan.cells[0].architecture.fingerprint
    for speed in (100.0, 200.0):
        cost = Cost(
            mark, "m", "fp32", "train", 64, speed, 90, 210, None, None, 9, "quick", baseline=mark
        )
        store.costs.add_costs([cost], {"commit": "abc"})
        row = ProfileRow(mark, "m", "as_trained", None, "aten::conv", 0.0, speed, 1.0, 1.0)
        store.costs.add_profile([row])
    assert rows_of(url, "SELECT variant, images_per_second FROM v_costs") == [("none", 200.0)]
    assert rows_of(url, "SELECT operator, self_cpu_us FROM v_profile") == [("aten::conv", 200.0)]
    assert store.costs.measured("m", "fp32", 64, mark, None) == {mark}


def test_frames_are_the_studys_part_of_the_views(plan: Plan, store: Store, url: str) -> None:
    claim = claim_one(store, keys(plan))
    assert claim is not None
    store.add_epoch(claim, EPOCH)
    store.finish(claim, FINISHED, {"commit": "abc"})
    frames = read_frames(url, "small", plan.study.setting, Which(name="digits"))
    assert list(frames.runs["run_key"]) == keys(plan)
    assert frames.study["variants"] == ["none", "se(pool1, r=8)", "se(pool3, r=8)"]
    assert (len(frames.epochs), len(frames.steps)) == (1, 1)
    assert frames.environments == [{"commit": "abc"}]
    assert frames.layers.groupby("variant")["count"].sum()["none"] == 23_946


@pytest.mark.parametrize(("study", "dataset"), [("other", None), ("small", "cifar10")])
def test_asking_for_what_is_not_there_says_what_is(
    plan: Plan, store: Store, url: str, study: str, dataset: str | None
) -> None:
    with pytest.raises(DatabaseError, match=f"no runs of study '{study}'"):
        read_frames(url, study, plan.study.setting, Which(name=dataset))
    with pytest.raises(
        DatabaseError,
        match=r"it has: digits \(content [0-9a-f]{8}\), cbam_cnn\(width=0\.25\), 16×16, epochs=2, ",
    ):
        read_frames(url, "small", "another")


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE trials (x)")
    connection.close()


def newer(path: Path) -> None:
    Store(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE ablate_version SET version_num = '9999'")
    connection.close()


def torn(path: Path) -> None:
    Store(f"sqlite:///{path}").close()
    content = bytearray(path.read_bytes())
    content[100:4000] = b"\xaa" * 3900
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("hello, I am a text file"), "is not an SQLite database"),
        (foreign, "a database of another program (it has the table 'trials')"),
        (newer, f"made by a newer ablate (revision 9999; this one knows {HEAD})"),
        (torn, "cannot be used as a database"),
    ],
)
@pytest.mark.parametrize("create", [True, False])
def test_other_peoples_files_are_refused_and_left_alone(
    tmp_path: Path, make: object, message: str, create: bool
) -> None:
    path = tmp_path / "other.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(DatabaseError) as caught:
        open_engine(f"sqlite:///{path}", create=create)
    assert message in str(caught.value)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["other.db"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense://", "nonsense://…: only SQLite and PostgreSQL are supported"),
        ("mysql://me:secret@host/db", "mysql://…: only SQLite and PostgreSQL are supported"),
        ("sqlite://", "only SQLite and PostgreSQL are supported"),
        ("postgresql://me:secret@host", r"postgresql://me:\*\*\*@host: names no database"),
        ("postgresql://host/db?password=secret", "'password' cannot be set in the URL"),
        ("://", "not a database URL"),
    ],
)
def test_urls_that_cannot_be_opened(url: str, message: str) -> None:
    with pytest.raises(DatabaseError, match=message) as caught:
        open_engine(url, create=True)
    assert "secret" not in str(caught.value)


def test_a_missing_database_is_made_only_when_asked(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.db"
    with pytest.raises(DatabaseError, match="there is no database yet"):
        open_engine(str(path), create=False)
    assert not path.parent.exists()
    assert known_of(plan, str(path)) == Stored()
    assert not path.parent.exists(), "asking what is known makes none"
    open_engine(str(path), create=True).dispose()
    assert check_integrity(str(path)) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError, match="cannot be made"):
        open_engine(f"sqlite:///{tmp_path}/file/results.db", create=True)


def test_a_full_disk_is_one_line_and_what_was_stored_stays(
    plan: Plan, sqlite_url: str, open_store: Opener
) -> None:
    url, store = sqlite_url, open_store(sqlite_url)
    store.register(plan)
    claim = claim_one(store, keys(plan))
    assert claim is not None
    store.add_epoch(claim, EPOCH)

    @event.listens_for(store._engine, "begin")
    def fill(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    many = replace(EPOCH, epoch=2, steps=tuple(replace(STEP, step=i) for i in range(2, 5000)))
    with pytest.raises(
        DatabaseError, match="cannot be written: database or disk is full"
    ) as caught:
        store.add_epoch(claim, many)
    assert "\n" not in str(caught.value)
    assert rows_of(url, "SELECT COUNT(*) FROM v_epochs") == [(1,)]
    event.remove(store._engine, "begin", fill)
    store._engine.dispose()
    store.add_epoch(claim, many)
    assert rows_of(url, "SELECT COUNT(*) FROM v_epochs") == [(2,)]


@pytest.mark.slow
def test_a_lock_that_outlasts_sqlites_own_patience_is_waited_for(
    plan: Plan, sqlite_url: str, open_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    store = open_store(sqlite_url)
    store.register(plan)
    claim = claim_one(store, keys(plan))
    assert claim is not None
    with closing(
        sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), check_same_thread=False)
    ) as other:
        other.execute("BEGIN EXCLUSIVE")
        timer = threading.Timer(0.5, other.rollback)
        timer.start()
        store.add_epoch(claim, EPOCH)
        timer.join()
    assert rows_of(sqlite_url, "SELECT COUNT(*) FROM epochs") == [(1,)]


def test_a_lock_that_stays_is_one_line(
    plan: Plan, sqlite_url: str, open_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(transaction, "PATIENCE_SECONDS", 0.2)
    store = open_store(sqlite_url)
    store.register(plan)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN EXCLUSIVE")
        text = message(DatabaseError, lambda: claim_one(store, keys(plan)))
    assert "cannot be written: database is locked" in text
    assert claim_one(store, keys(plan)) is not None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite_url", "empty_postgres_url"])
def test_processes_that_start_together_make_one_schema_and_share_the_cells(
    kind: str, request: pytest.FixtureRequest, open_store: Opener
) -> None:
    """No database yet, four processes: one schema, every cell claimed once."""
    url, plan = request.getfixturevalue(kind), small_plan(seeds=10)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=claim_all, args=(url, keys(plan), queue)) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert [queue.get(timeout=120) for _ in workers] == [[]] * 4, "all of them have opened it"
    open_store(url).register(plan)
    claimed = [key for _ in workers for key in queue.get(timeout=120)]
    for worker in workers:
        worker.join()
    assert sorted(claimed) == sorted(keys(plan))
    assert check_integrity(url) == []


@pytest.mark.slow
def test_runs_beside_a_plan_are_told_apart_by_whether_they_are_of_its_networks(
    tmp_path: Path,
) -> None:
    url, plan = str(tmp_path / "r.db"), small_plan(seeds=2)
    store = Store(url)
    store.register(plan)
    store.close()
    content = str(plan.dataset.content_hash())
    first = [str(cell.run_key) for cell in plan.cells if cell.seed == 1]
    second = len(plan.cells) - len(first)
    networks = {name: each.fingerprint for name, each in plan.variants.items()}
    found = stored_of_study(url, plan.study, content, first, networks)
    assert (len(found.statuses), found.outside, found.others) == (
        len(first), {RunStatus.PLANNED: second}, {},
    )  # fmt: skip
    edited = dict.fromkeys(networks, "0" * 16)
    found = stored_of_study(url, plan.study, content, [], edited)
    assert (found.statuses, found.outside) == ({}, {})
    assert found.others == {RunStatus.PLANNED: len(plan.cells)}
