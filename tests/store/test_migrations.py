"""Databases of earlier revisions, kept as SQL text, come up to date with everything that was in them."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from conftest import claim_one, message

from ablate.errors import DatabaseError
from ablate.plan import make_plan
from ablate.store.connection.migrate import backup_path
from ablate.store.connection.revisions import HEAD, REVISIONS
from ablate.store.maintenance.health import check_integrity
from ablate.store.views import VIEWS
from ablate.store.writing.store import Store
from ablate.store.writing.trials import search_key
from ablate.study import Study, keys
from ablate.study.file import parse_study
from ablate.system.files import atomic as files

EARLIER = Path(__file__).parents[1] / "databases"


def rows(path: Path, table: str, columns: str = "*") -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(f"SELECT {columns} FROM {table}").fetchall()  # noqa: S608


def text_of(path: Path) -> str:
    """Everything in a database, as SQL."""
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump())


def text_of_bytes(content: bytes, folder: Path) -> str:
    (folder / "bytes.db").write_bytes(content)
    return text_of(folder / "bytes.db")


KEYS = ("run_key", "setting")
"""Revision 0005 gives them anew."""


def columns(path: Path, view: str, but: Sequence[str] = ()) -> str:
    with sqlite3.connect(path) as connection:
        cursor = connection.execute(f"SELECT * FROM {view} LIMIT 0")  # noqa: S608
    return ", ".join(name for name, *_ in cursor.description if name not in but)


def test_every_earlier_revision_has_a_database_here() -> None:
    assert {path.stem for path in EARLIER.glob("*.sql")} == set(REVISIONS) - {HEAD}


EARLIER_REVISIONS = sorted(set(REVISIONS) - {HEAD})
BY_DIFFERENCE = "0005"
"""From this revision on keys are what they are now."""
OF_RUNS = "runs r JOIN cells c USING (run_key) ORDER BY c.ordinal"
WHICH = "c.variant, r.seed, r.run_key, r.weights_sha256"


def stored_study(path: Path) -> Study:
    """The study of a database, as it was run."""
    [(text,)] = rows(path, "studies", "definition")
    stored = {k: v for k, v in json.loads(str(text)).items() if k in Study.model_fields}
    return parse_study({k: v for k, v in stored.items() if v is not None}, "stored")


def earlier(revision: str, path: Path) -> Path:
    """A database of that revision, made anew from its text."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((EARLIER / f"{revision}.sql").read_text())
    return path


@pytest.mark.parametrize("revision", EARLIER_REVISIONS)
def test_an_earlier_database_comes_up_to_date(revision: str, tmp_path: Path) -> None:
    path = earlier(revision, tmp_path / "earlier.db")
    as_it_was = path.read_bytes()
    there = {name for (name,) in rows(path, "sqlite_master WHERE type = 'view'", "name")}
    assert set(VIEWS) - there <= {"v_predictions", "v_looks", "v_datasets", "v_metrics"}, (
        "views came later, and none has gone"
    )
    promised = {view: columns(path, view, but=KEYS) for view in VIEWS if view in there}
    before = {view: rows(path, view, names) for view, names in promised.items()}
    assert all(before.values()), "there is something in every view"
    store = Store(f"sqlite:///{path}")
    assert rows(path, "ablate_version") == [(HEAD,)]
    assert {view: rows(path, view, names) for view, names in promised.items()} == before
    assert check_integrity(f"sqlite:///{path}") == []
    backup = backup_path(path)
    assert backup.name == f"earlier.db.before-{HEAD}.bak"
    assert text_of(backup) == text_of_bytes(as_it_was, tmp_path)
    planned = [key for (key,) in rows(path, "(SELECT run_key FROM runs WHERE status = 'planned')")]
    claim = claim_one(store, planned)
    assert claim is not None, "and it is used as any other"
    assert store.resume(claim) is None


@pytest.mark.slow
@pytest.mark.parametrize("revision", EARLIER_REVISIONS)
def test_runs_of_before_have_what_their_bits_tell(revision: str, tmp_path: Path) -> None:
    """The number of images is found from bits and accuracy: it was not stored."""
    path = earlier(revision, tmp_path / "earlier.db")
    Store(f"sqlite:///{path}").close()
    found = rows(path, "v_predictions GROUP BY run_key", "run_key, AVG(correct), COUNT(*)")
    finished = rows(
        path, "runs WHERE status = 'finished' ORDER BY 1", "run_key, test_accuracy, 359"
    )
    assert found == finished
    unknown = "COUNT(label), COUNT(predicted), COUNT(probability), MIN(image), MAX(image)"
    assert rows(path, "v_predictions", unknown) == [(0, 0, 0, 0, 358)]


@pytest.mark.slow
@pytest.mark.parametrize("revision", EARLIER_REVISIONS)
def test_what_was_trained_is_found_under_its_new_key(
    revision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a plan of the same study, made today; everything that belongs to a run has come along."""
    monkeypatch.setattr(keys, "PROTOCOL", 2 if revision >= "0004" else 1)  # as it was then
    path = earlier(revision, tmp_path / "earlier.db")
    for folder in ("histograms", "weights"):
        (tmp_path / folder).mkdir()
    before = {(v, seed): (key, sha) for v, seed, key, sha in rows(path, OF_RUNS, WHICH)}
    for key, _ in before.values():
        (tmp_path / "histograms" / str(key)).mkdir()
    Store(f"sqlite:///{path}").close()
    plan = make_plan(stored_study(path))
    now = {(v, seed): (key, sha) for v, seed, key, sha in rows(path, OF_RUNS, WHICH)}
    planned = {(cell.variant.name, cell.seed): cell.run_key for cell in plan.cells}
    assert planned.items() <= {name: key for name, (key, _) in now.items()}.items()
    assert {name: sha for name, (_, sha) in now.items()} == {n: s for n, (_, s) in before.items()}
    kept_keys = {key for key, _ in before.values()} & {key for key, _ in now.values()}
    assert len(kept_keys) == (len(now) if revision >= BY_DIFFERENCE else 0)
    assert {p.name for p in (tmp_path / "histograms").iterdir()} == {key for key, _ in now.values()}
    files = dict(rows(path, "runs", "run_key, weights_file"))
    kept = {
        key: old for (key, _), (old, sha) in zip(now.values(), before.values(), strict=True) if sha
    }
    assert {k: f for k, f in files.items() if f} == {
        k: f"{old}.safetensors" for k, old in kept.items()
    }
    assert set(rows(path, "studies", "setting")) == {(plan.study.setting,)}
    epochs = "runs r JOIN epochs e USING (run_key) WHERE r.status = 'finished'"
    finished = rows(path, "runs WHERE status = 'finished'", "2 * COUNT(*)")
    assert rows(path, epochs, "COUNT(*)") == finished, "two epochs of each"


def test_searches_and_choices_have_their_new_names(tmp_path: Path) -> None:
    path = earlier("0004", tmp_path / "earlier.db")
    Store(f"sqlite:///{path}").close()
    study = stored_study(path)
    key = search_key(study, "digits", "")
    [[of], [again]] = rows(path, "trials", "search")
    assert of == again == key.search
    trained = json.loads(str(rows(path, "trials WHERE number = 0", "trained")[0][0]))
    assert trained[0] in {run for (run,) in rows(path, "runs", "run_key")}
    found = rows(path, "choices", "decision, subject, conditions, choice")
    assert ("kernel", "se", "", '"fused"') in found
    assert ("steps", study.setting, "", '"graph"') in found
    assert ("cohort", study.setting, "graph", 16) in found
    assert len(found) == 6


def test_a_backup_that_cannot_be_written_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    path = earlier("0001", tmp_path / "earlier.db")
    before = path.read_bytes()
    monkeypatch.setattr(files.os, "replace", full)
    text = message(DatabaseError, lambda: Store(f"sqlite:///{path}"))
    assert f"before-{HEAD}.bak: the backup before the upgrade cannot be written" in text
    assert text.endswith("No space left on device. Nothing was changed")
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["earlier.db"]
