"""The views as pandas frames, for a notebook: `ablate.open_results(url)`."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pandas as pd
from sqlalchemy import Select, column, literal_column, select, table

from ablate.store import schema
from ablate.store.connection.address import shown
from ablate.store.connection.engine import reading
from ablate.store.reading.searches import read_trials
from ablate.store.views import ORDER


class Results:
    """What a database holds. Each frame is read when it is first used, and then kept.

    Columns are those of the views, and of trials (docs/database.md). Nothing here writes; open the
    database again to see what came in since.
    """

    def __init__(self, url: str) -> None:
        """Look whether there is such a database.

        Raises:
            DatabaseError: missing, not ours, newer, or not to be opened.
        """
        self.url = url
        with reading(url):
            pass

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row for each run of each study: `v_runs`."""
        return self._read("v_runs")

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """One row for each epoch of each run: `v_epochs`."""
        return self._read("v_epochs")

    @cached_property
    def steps(self) -> pd.DataFrame:
        """The loss inside epochs: `v_steps`."""
        return self._read("v_steps")

    @cached_property
    def costs(self) -> pd.DataFrame:
        """How fast each network is on each device: `v_costs`."""
        return self._read("v_costs")

    @cached_property
    def profile(self) -> pd.DataFrame:
        """Where the time of a training step goes: `v_profile`."""
        return self._read("v_profile")

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """What each run said of each test image: `v_predictions`, a row for each run and image."""
        return self._read("v_predictions")

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Every metric of each run: `v_metrics`."""
        return self._read("v_metrics")

    @cached_property
    def looks(self) -> pd.DataFrame:
        """When verdicts were shown: `v_looks`."""
        return self._read("v_looks")

    @cached_property
    def datasets(self) -> pd.DataFrame:
        """What the images of each study are: `v_datasets`."""
        return self._read("v_datasets")

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row for each trial of each search: parameters, state, validation accuracies of selection and of
        fresh seeds apart, and costs.
        """
        with reading(self.url) as connection:
            return read_trials(connection)

    @cached_property
    def studies(self) -> pd.DataFrame:
        """One row for each study under each setting and on each set of images: study, setting, dataset,
        dataset_hash and when it was planned last, the newest first.
        """
        columns = ("study", "setting", "dataset", "dataset_hash", "updated_at")
        table = schema.studies
        query = select(*(table.c[name] for name in columns)).order_by(table.c.updated_at.desc())
        with reading(self.url) as connection:
            return pd.read_sql_query(query, connection)

    def _read(self, view: str) -> pd.DataFrame:
        query: Select[Any] = (
            select(literal_column("*")).select_from(table(view)).order_by(*map(column, ORDER[view]))
        )
        with reading(self.url) as connection:
            return pd.read_sql_query(query, connection)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(self.url)!r})"
