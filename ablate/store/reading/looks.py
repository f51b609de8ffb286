"""The looks at a study's verdicts, as they are stored."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from ablate.stats.looks import Look
from ablate.store import schema
from ablate.store.progress.status import StudyKey


def read_looks(connection: Connection, key: StudyKey) -> tuple[Look, ...]:
    """All looks at a study on these images under this setting, the first one first."""
    table = schema.looks
    columns = [table.c[name] for name in Look.__dataclass_fields__]
    order = table.c.looked_at, table.c.finished, table.c.rule
    rows = connection.execute(select(*columns).where(*_of(key)).order_by(*order))
    return tuple(Look(**row._mapping) for row in rows)


def _of(key: StudyKey) -> tuple[Any, ...]:
    table = schema.looks
    columns = (table.c.study, table.c.dataset_hash, table.c.setting)
    return tuple(column == value for column, value in zip(columns, key, strict=True))
