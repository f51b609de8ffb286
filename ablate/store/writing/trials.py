"""What a search may read and write: its trials, and of runs one metric of validation images.

The search has no other door to the database: nothing here reads a test accuracy (a test listens to
every statement).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, String, and_, cast, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from ablate.errors import DatabaseError
from ablate.result import RunStatus
from ablate.store import schema
from ablate.store.connection.engine import open_engine, shown
from ablate.store.connection.transaction import reading, writing
from ablate.store.statements import chunks
from ablate.store.writing import claims
from ablate.store.writing.registry import add_cells
from ablate.store.writing.rows import add_architectures
from ablate.study import Study
from ablate.study.keys import by_difference
from ablate.study.metrics import ACCURACY
from ablate.study.own_code import NO_SOURCES, Sources
from ablate.study.own_metrics import stored_name
from ablate.system.digest import digest
from ablate.system.process.clock import now

if TYPE_CHECKING:
    # For their types only: a report opens the database on machines without torch.
    from ablate.plan import Cell, Plan
    from ablate.result import Architecture

TrialState = Literal["running", "complete", "raced", "pruned", "infeasible", "failed"]
"""`raced`: stopped before all its seeds, clearly worse; `pruned`: before all its epochs; `infeasible`:
breaks a constraint, nothing was trained."""


@dataclass(frozen=True, slots=True)
class SearchKey:
    """Which search of which study: the key of its trials but for their number, and what people call its
    images, which are known by their hash.
    """

    study: str
    dataset: str
    setting: str
    search: str
    dataset_hash: str


def search_key(
    study: Study,
    dataset: str,
    content_hash: str,
    sources: Sources = NO_SOURCES,
    weights_sha256: str | None = None,
) -> SearchKey:
    """Which search a study has: another space, objective or way of asking is another search, and so are
    other images, other weights that its networks begin with, and the same functions of the user's from other
    source, of which `sources` are the hashes: their runs are others, also where the search looks for another
    metric than the user's.
    """
    identity = study.search.identity if study.search is not None else {}
    begun = by_difference({"weights_sha256": weights_sha256}, {"weights_sha256": None})
    identity = {**identity, **sources, **begun}
    return SearchKey(study.name, dataset, study.setting, digest(identity), content_hash)


@dataclass(frozen=True, slots=True)
class Place:
    """Under what speeds are measured: only those of one place can be compared."""

    device: str
    precision: str
    batch_size: int


@dataclass(frozen=True, slots=True)
class Against:
    """A baseline's network, and the images per second that it counts with in a search."""

    fingerprint: str
    speed: float


MEASURED = "measured"
"""Where a trial keeps the speed that it was judged by, beside what of the sampler's state belongs to it."""


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One trial. `run_keys` are those of the seeds that it had, `trained` those it had to train."""

    number: int
    point: Mapping[str, Any]
    sampler_state: Mapping[str, Any]
    variant: str
    fingerprint: str
    state: TrialState = "running"
    run_keys: tuple[str, ...] = ()
    trained: tuple[str, ...] = ()
    reason: str | None = None
    asked_at: str = ""
    ended_at: str | None = None

    @property
    def place(self) -> Place | None:
        """Where the speed that it is judged by was measured; None if it keeps none."""
        kept = self.sampler_state.get(MEASURED)
        return None if kept is None else Place(**{name: kept[name] for name in Place.__slots__})

    @property
    def speed(self) -> float | None:
        """The images per second that it is judged by, None if it keeps none."""
        kept = self.sampler_state.get(MEASURED)
        return None if kept is None else float(kept["images_per_second"])

    @property
    def against(self) -> Against | None:
        """The baseline that its speed is compared with; None if it keeps none."""
        kept = (self.sampler_state.get(MEASURED) or {}).get("against")
        return None if kept is None else Against(str(kept["fingerprint"]), float(kept["speed"]))

    def measured(self, place: Place, speed: float, against: Against | None = None) -> TrialRow:
        """The trial that is judged by this speed from now on."""
        kept = {**asdict(place), "images_per_second": speed}
        if against is not None:
            kept["against"] = asdict(against)
        return replace(self, sampler_state={**self.sampler_state, MEASURED: kept})


@dataclass(frozen=True, slots=True)
class RunSeen:
    """What a search sees of a run; `quality` is the metric that it asked for, of validation images."""

    status: RunStatus
    quality: float | None
    images_per_second: float | None
    error: str | None


class TrialStore:
    """The door of a search to the results database."""

    def __init__(self, url: str, *, create: bool = True) -> None:
        """Open a database, make it if it is missing unless told otherwise.

        Raises:
            DatabaseError: not ours, newer, or not to be opened.
        """
        self._engine = open_engine(url, create=create)

    def close(self) -> None:
        self._engine.dispose()

    @reading
    def trials(self, connection: Connection, key: SearchKey) -> list[TrialRow]:
        """The trials of a search, in the order in which they were asked."""
        table = schema.trials
        query = select(table).where(_of(key)).order_by(table.c.number)
        names = list(TrialRow.__dataclass_fields__)
        return [
            _trial({name: row[name] for name in names})
            for row in connection.execute(query).mappings()
        ]

    @reading
    def searches(
        self, connection: Connection, study: str, dataset_hash: str, setting: str
    ) -> list[str]:
        """The searches of a study on these images, the one that asked last first."""
        table = schema.trials
        images = table.c.dataset_hash == dataset_hash
        mine = (table.c.study == study, images, table.c.setting == setting)
        query = select(table.c.search).where(*mine).group_by(table.c.search)
        return list(connection.scalars(query.order_by(func.max(table.c.asked_at).desc())))

    def begin(self, key: SearchKey, trial: TrialRow, architecture: Architecture) -> TrialRow:
        """Record that a trial was asked, before anything is trained for it; returns it with the time.

        Raises:
            DatabaseError: somebody else has added a trial of that number.
        """
        asked = replace(trial, asked_at=now())
        try:
            self._add(key, asked, architecture)
        except IntegrityError:
            raise DatabaseError(
                f"{shown(self._engine.url)}: somebody else has added trial {trial.number} of this search of "
                f"{key.study}: end every other one and search again, it goes on with all of them"
            ) from None
        return asked

    @writing
    def _add(
        self, connection: Connection, key: SearchKey, asked: TrialRow, architecture: Architecture
    ) -> None:
        add_architectures(connection, [architecture])
        mine = and_(_of(key), schema.trials.c.number == asked.number)
        there = connection.scalar(select(schema.trials.c.asked_at).where(mine))
        if there != asked.asked_at:  # else it is ours, from a commit whose end nobody knew
            connection.execute(insert(schema.trials), {**asdict(key), **_stored(asked)})

    def end(self, key: SearchKey, trial: TrialRow) -> TrialRow:
        """Record what became of a trial; returns it with the time."""
        ended = replace(trial, ended_at=now())
        self.update(key, ended)
        return ended

    def update(self, key: SearchKey, trial: TrialRow) -> None:
        """Record how far a trial has come."""
        self.update_all(key, [trial])

    @writing
    def update_all(
        self, connection: Connection, key: SearchKey, trials: Sequence[TrialRow]
    ) -> None:
        """Record what became of these trials, all of them or none."""
        for trial in trials:
            mine = and_(_of(key), schema.trials.c.number == trial.number)
            connection.execute(update(schema.trials).where(mine).values(_stored(trial)))

    @writing
    def retry_failed(self, connection: Connection, run_keys: Sequence[str]) -> int:
        """Make failed runs ready again; returns how many."""
        return claims.retry_failed(connection, run_keys)

    @writing
    def add_architectures(
        self, connection: Connection, architectures: Iterable[Architecture]
    ) -> None:
        """Make networks known, so that what they cost can be stored."""
        add_architectures(connection, architectures)

    @writing
    def add_cells(self, connection: Connection, plan: Plan, cells: Sequence[Cell]) -> None:
        """Make variants that a search has asked cells of its study, behind those that are there."""
        add_cells(connection, plan, cells)

    @reading
    def seen(
        self, connection: Connection, run_keys: Sequence[str], metric: str = ACCURACY
    ) -> dict[str, RunSeen]:
        """Status and a metric of validation images of those of these runs that the database knows."""
        runs, (found, where) = schema.runs, _validated(schema.runs, metric)
        columns = (runs.c.status, found, runs.c.train_images_per_second, runs.c.error)
        return {
            key: RunSeen(*rest)
            for chunk in chunks(run_keys)
            for key, *rest in connection.execute(
                select(runs.c.run_key, *columns).select_from(where).where(runs.c.run_key.in_(chunk))
            )
        }

    @reading
    def fresh(
        self,
        connection: Connection,
        like: str,
        fingerprint: str,
        seeds: range,
        metric: str = ACCURACY,
    ) -> list[float]:
        """A metric of validation images of a network with these seeds, under the recipe and on the images of
        the run `like`, as far as they are trained.
        """
        runs, other = schema.runs, schema.runs.alias()
        found_in, where = _validated(runs, metric)
        query = (
            select(runs.c.seed, found_in)
            .select_from(where)
            .join(other, other.c.dataset_hash == runs.c.dataset_hash)
            .where(
                other.c.run_key == like,
                runs.c.fingerprint == fingerprint,
                runs.c.seed >= seeds.start,
                runs.c.seed < seeds.stop,
                runs.c.status == RunStatus.FINISHED,
                cast(runs.c.recipe, String) == cast(other.c.recipe, String),
            )
        )
        found = connection.execute(query.order_by(runs.c.seed))
        return [value for _, value in found if value is not None]

    @reading
    def curve(self, connection: Connection, run_key: str) -> dict[int, float]:
        """The validation accuracy of a run after each of its epochs."""
        epochs = schema.epochs
        query = select(epochs.c.epoch, epochs.c.val_accuracy).where(epochs.c.run_key == run_key)
        found = connection.execute(query.order_by(epochs.c.epoch))
        return {epoch: value for epoch, value in found if value is not None}

    @reading
    def costs(
        self, connection: Connection, fingerprints: Sequence[str], place: Place | None = None
    ) -> dict[str, dict[str, float]]:
        """Parameters and MACs of networks, and the images per second that were measured last at a place."""
        table, speeds = schema.architectures, schema.costs
        found: dict[str, dict[str, float]] = {}
        for chunk in chunks(list(fingerprints)):
            sizes = select(table.c.fingerprint, table.c.parameters, table.c.macs)
            for fingerprint, parameters, macs in connection.execute(
                sizes.where(table.c.fingerprint.in_(chunk))
            ):
                found[fingerprint] = {"parameters": parameters, "macs": macs}
            if place is None:
                continue
            mine = (speeds.c[name] == value for name, value in asdict(place).items())
            rows = select(speeds.c.fingerprint, speeds.c.images_per_second).where(
                speeds.c.mode == "infer", speeds.c.fingerprint.in_(chunk), *mine
            )
            for fingerprint, speed in connection.execute(rows.order_by(speeds.c.measured_at)):
                found[fingerprint]["images_per_second"] = speed
        return found

    @reading
    def measured_at(
        self, connection: Connection, fingerprints: Sequence[str]
    ) -> dict[Place, set[str]]:
        """Which of these networks were measured where; the place of the last measurement comes last."""
        speeds = schema.costs
        rows = [
            tuple(row)
            for chunk in chunks(list(fingerprints))
            for row in connection.execute(
                select(speeds.c.measured_at, *(speeds.c[name] for name in Place.__slots__),
                       speeds.c.fingerprint)
                .where(speeds.c.mode == "infer", speeds.c.fingerprint.in_(chunk))
            )
        ]  # fmt: skip
        found: dict[Place, set[str]] = {}
        for _, *at, fingerprint in sorted(rows):
            place = Place(*at)
            found[place] = found.pop(place, set()) | {fingerprint}
        return found

    @reading
    def trained_at(self, connection: Connection, run_keys: Sequence[str]) -> Place | None:
        """Where the last of these runs was trained; None if none of them was."""
        runs = schema.runs
        rows = [
            (str(finished_at), Place(device, precision, int(recipe["batch_size"])))
            for chunk in chunks(list(run_keys))
            for finished_at, device, precision, recipe in connection.execute(
                select(runs.c.finished_at, runs.c.device, runs.c.precision, runs.c.recipe).where(
                    runs.c.run_key.in_(chunk), runs.c.status == RunStatus.FINISHED
                )
            )
            if device is not None and precision is not None and recipe.get("batch_size")
        ]
        return max(rows, key=lambda row: row[0])[1] if rows else None


def _validated(runs: Any, metric: str) -> tuple[Any, Any]:
    """The column of a metric of validation images, and the tables that it and the runs are in."""
    if metric == ACCURACY:
        return runs.c.val_accuracy, runs
    table = schema.metrics
    mine = and_(
        table.c.run_key == runs.c.run_key,
        table.c.split == "validation",
        table.c.metric == stored_name(metric),
        table.c.class_name == "",
    )
    return table.c.value, runs.outerjoin(table, mine)


def _of(key: SearchKey) -> Any:
    table = schema.trials
    return and_(*(table.c[name] == v for name, v in asdict(key).items() if name != "dataset"))


def _stored(trial: TrialRow) -> dict[str, Any]:
    lists = {"run_keys": list(trial.run_keys), "trained": list(trial.trained)}
    return {**asdict(trial), **lists}


def _trial(row: Mapping[str, Any]) -> TrialRow:
    lists = {name: tuple(row[name]) for name in ("run_keys", "trained")}
    return TrialRow(**{**row, **lists})
