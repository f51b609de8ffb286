"""One search of a study at a time, wherever it begins, and none while its database is changed as a whole."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pytest
from conftest import message
from support.real_database import real_database

from ablate.errors import AblateError
from ablate.store.connection.searching import only_search, without_search
from ablate.store.transfer.export import export_database
from ablate.store.transfer.imports import import_folder
from ablate.store.transfer.merge import merge_databases
from ablate.store.writing.store import Store


def _refused(alone: AbstractContextManager[None]) -> str:
    return message(AblateError, lambda: _enters(alone))


def _enters(alone: AbstractContextManager[None]) -> bool:
    with alone:
        return True


def test_a_study_is_searched_once_from_whatever_folder(
    any_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    with only_search(any_url, "small"):
        monkeypatch.chdir(tmp_path / "elsewhere")
        said = _refused(only_search(any_url, "small"))
        assert "another `ablate search` of small is under way on " in said
        assert said.endswith(": let it work, or end it first")
        assert _enters(only_search(any_url, "other"))
    assert _enters(only_search(any_url, "small")), "it ends with the search"


def test_a_link_in_another_folder_leads_to_the_same_search(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "r.db").touch()
    (tmp_path / "r.db").symlink_to(tmp_path / "real" / "r.db")
    with only_search(str(tmp_path / "real" / "r.db"), "small"):
        assert "is under way" in _refused(only_search(str(tmp_path / "r.db"), "small"))
        assert "is under way" in _refused(without_search(str(tmp_path / "r.db"), "small"))


def test_nothing_is_changed_as_a_whole_under_a_search(any_url: str) -> None:
    with only_search(any_url, "small"):
        assert _refused(without_search(any_url, "small")).startswith("`ablate search` of small is ")
        assert "is under way" in _refused(without_search(any_url))
        assert _enters(without_search(any_url, "other"))
    assert _enters(without_search(any_url))
    with without_search(any_url, "small"):
        assert "is under way" in _refused(only_search(any_url, "small"))


def test_on_a_server_no_search_begins_while_another_database_is_merged(postgres_url: str) -> None:
    with without_search(postgres_url):
        said = _refused(only_search(postgres_url, "small"))
        assert "search again when that is done" in said
    assert _enters(only_search(postgres_url, "small"))


def test_a_connection_that_broke_meanwhile_ends_no_search(postgres_url: str) -> None:
    with only_search(postgres_url, "small"), psycopg.connect(postgres_url) as server:
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert _enters(only_search(postgres_url, "small"))


def test_the_lock_keeps_nothing_else_on_the_server(postgres_url: str) -> None:
    with only_search(postgres_url, "small"), psycopg.connect(postgres_url) as server:
        (held,) = server.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        ).fetchone() or (0,)
        assert held == 2
        snapshot = "SELECT count(*) FROM pg_stat_activity WHERE backend_xmin IS NOT NULL"
        others = f"{snapshot} AND pid <> pg_backend_pid() AND state = 'idle in transaction'"
        assert server.execute(others).fetchone() == (0,), "it keeps no rows from being cleared up"


@pytest.mark.slow
def test_merge_and_import_wait_for_no_search_and_write_nothing_under_one(
    any_url: str, tmp_path: Path
) -> None:
    source = real_database(tmp_path / "source" / "results.db")
    export_database(str(source), tmp_path / "export", "jsonl", {})
    Store(any_url).close()
    with only_search(any_url, "small"):
        assert "is under way" in message(
            AblateError, lambda: merge_databases(any_url, [str(source)])
        )
        assert "is under way" in message(
            AblateError, lambda: import_folder(tmp_path / "export", any_url)
        )
        assert import_folder(tmp_path / "export", str(tmp_path / "new.db"))["runs"] == 4
    assert import_folder(tmp_path / "export", any_url)["runs"] == 4, "nothing was written before"
    assert merge_databases(any_url, [str(source)]).added == 0
