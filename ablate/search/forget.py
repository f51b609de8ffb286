"""Optuna's copy of the searches of a study that was renamed or deleted."""

from __future__ import annotations

from pathlib import Path

import optuna

from ablate.errors import DatabaseError
from ablate.search.storage import close_storage, open_storage, storage_url
from ablate.store.connection.sqlite_file import SQLITE
from ablate.system.messages.text import one_line


def forget_searches(results_url: str, study: str) -> int:
    """Delete a study's searches from the storage beside the results; returns how many there were. What of
    them is still in the results database is mirrored anew by the next search.

    Raises:
        DatabaseError: a file there that is no storage of Optuna's, or one that cannot be written.
    """
    url = storage_url(None, results_url)
    if not Path(url.removeprefix(SQLITE)).is_file():
        return 0
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(url, create=False)
    try:
        names = [each.study_name for each in storage.get_all_studies()]
        mine = [name for name in names if name.startswith(f"{study} on ")]
        for name in mine:
            optuna.delete_study(study_name=name, storage=storage)
        return len(mine)
    except optuna.exceptions.OptunaError as error:
        raise DatabaseError(
            f"{url.removeprefix(SQLITE)}: cannot be written: {one_line(error)}"
        ) from None
    finally:
        close_storage(storage)
