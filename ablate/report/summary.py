"""From frames to one record per variant: what the tables, findings and figures all read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from ablate.report.cost.speeds import (
    COST_COLUMNS,
    Speed,
    SpeedColumn,
    inverse,
    ratio_between,
    ratio_to,
    read_speeds,
    speed_columns,
)
from ablate.report.samples import count_lacking, judged_runs, read_samples, validation_scores
from ablate.result import RunStatus
from ablate.result.dataset import DatasetSummary
from ablate.result.elsewhere import LARGEST_SEED, is_elsewhere, told_of
from ablate.result.image_results import ImageResults
from ablate.result.search import SearchResult
from ablate.stats import Effect, Interval, Sample, interval, seed_correlation
from ablate.stats.fresh import Kinds, Seeds, by_kind
from ablate.stats.looks import (
    FinishedRun,
    any_time,
    exploratory,
    exploratory_imports,
    margin_of,
)
from ablate.stats.ratios import Ratio
from ablate.study.metrics import ACCURACY, Metric, metric_named
from ablate.study.search import FRESH_SEEDS, last_of_grid

if TYPE_CHECKING:
    from ablate.report.effects.contexts import InContext
    from ablate.store.reading.frames import Frames

RUN_COLUMNS = (
    *("run_key", "variant", "fingerprint", "attention", "position", "reduction", "kernel_size"),
    *("options", "seed", "status", "failure", "error", "val_accuracy", "test_accuracy"),
    *("seconds", "device", "precision"),
    *("parameters", "attention_parameters", "macs", "elementwise", "activations"),
    *("unmoved_attention", "finished_at", "fold", "folds_finished"),
)
EPOCH_COLUMNS = (
    *("run_key", "epoch", "train_accuracy", "val_accuracy", "test_accuracy"),
    *("train_loss", "val_loss", "test_loss"),
)
STEP_COLUMNS = ("run_key", "step", "batch_loss")
PROFILE_COLUMNS = (
    *("fingerprint", "device", "path", "module", "operator"),
    *("self_device_us", "self_cpu_us", "calls", "share"),
)
TRACE_COLUMNS = ("fingerprint", "device", "path", "file", "reason")
Found = TypeVar("Found")

STRUCTURE = ("parameters", "attention_parameters", "macs", "elementwise", "activations")
LAYER_COLUMNS = ("variant", "path", "kind", "parameter", "count", "attention")


@dataclass(frozen=True, slots=True)
class VariantSummary:
    """Everything known about one variant; `accuracies` are those of the finished runs that it is judged by,
    by seed, `seeds` says of which kind these are, and `besides` counts its finished runs of other kinds.
    `unmoved` counts the runs in which some attention ended as it was initialised.
    """

    name: str
    is_baseline: bool
    same_as: str | None
    planned: int
    failed: int
    accuracies: Mapping[int, float]
    accuracy: Interval | None
    effect: Effect | None
    parameters: float | None
    attention_parameters: float | None
    macs: float | None
    elementwise: float | None
    activations: float | None
    unmoved: int
    speeds: Mapping[SpeedColumn, Speed]
    seeds: Seeds = Seeds.GRID
    besides: int = 0

    @property
    def n(self) -> int:
        """The number of finished runs that it is judged by."""
        return len(self.accuracies)

    @property
    def attention_share(self) -> float | None:
        """Attention's part of the parameters, a fraction."""
        if not self.parameters or self.attention_parameters is None:
            return None
        return self.attention_parameters / self.parameters


@dataclass(frozen=True)
class Summary:
    """One study, ready to be shown. `epochs` and `steps` are those of finished runs, by variant, `kinds`
    what verdicts are made from, and `confirmed` those of all who have fresh seeds, by these.

    `exploratory` says why its verdicts are no more than a hint, None if they are sound; `any_time`
    whether they hold at every look (`--until-decided`). `contexts` are those of its study, where it is one of
    several. `metric` is what the study is judged by, which `lacking` finished runs have no value of, and
    `validation` its values on validation images, by run key; `metrics` has them all. `data` is what the
    images are. Of a study with folds `runs` are its seeds, each of all its folds together, and `fold_runs`
    the runs; without they are the same.
    """

    study: Mapping[str, Any]
    baseline: str
    leaked: bool
    margin: float | None
    variants: tuple[VariantSummary, ...]
    speed_columns: tuple[SpeedColumn, ...]
    runs: pd.DataFrame
    epochs: pd.DataFrame
    steps: pd.DataFrame
    profile: pd.DataFrame
    traces: pd.DataFrame
    layers: pd.DataFrame
    environments: Sequence[Mapping[str, Any]]
    explanations: Mapping[str, bytes]
    search: SearchResult | None = None
    images: ImageResults = field(default_factory=ImageResults)
    kinds: Kinds = field(default_factory=lambda: by_kind({}, "", (), FRESH_SEEDS))
    confirmed: Mapping[str, Effect] = field(default_factory=dict)
    exploratory: str | None = None
    any_time: bool = False
    data: DatasetSummary | None = None
    metric: str = ACCURACY
    lacking: int = 0
    validation: Mapping[str, float] = field(default_factory=dict)
    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    dataset_hash: str = ""
    contexts: Sequence[InContext] = ()
    folds: int = 1
    fold_runs: pd.DataFrame = field(default_factory=pd.DataFrame)
    _computed: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, name: str, compute: Callable[[], Found]) -> Found:
        """What several sections and figures need, computed at the first of them."""
        if name not in self._computed:
            self._computed[name] = compute()
        found: Found = self._computed[name]
        return found

    @property
    def judged_by(self) -> Metric:
        """What verdicts and figures are about; `accuracy` and `accuracies` of variants are in it."""
        return metric_named(self.metric)

    @property
    def samples(self) -> Mapping[str, Sample]:
        """What each variant is judged by."""
        return self.kinds.own

    @property
    def main_columns(self) -> tuple[SpeedColumn, ...]:
        """The speed columns that the table of results shows: those of one condition, without eager steps
        where there are recorded ones.
        """
        first = [c for c in self.speed_columns if c.place == self.speed_columns[0].place]
        return tuple(column for column in first if column.mode != "eager")

    @property
    def tested(self) -> tuple[VariantSummary, ...]:
        """The variants with an effect: neither the baseline nor the same network as another."""
        return tuple(v for v in self.variants if v.effect is not None)

    @property
    def finished(self) -> tuple[VariantSummary, ...]:
        """The variants with at least one finished run."""
        return tuple(v for v in self.variants if v.n)

    @property
    def reference(self) -> VariantSummary:
        """The baseline."""
        return next(v for v in self.variants if v.is_baseline)

    @property
    def highlights(self) -> tuple[str, ...]:
        """The baseline, then the variants with the highest and the lowest mean accuracy."""
        return self.once("highlights", self._highlights)

    def _highlights(self) -> tuple[str, ...]:
        ranked = sorted(
            (v for v in self.finished if not v.is_baseline),
            key=lambda v: v.accuracy.mean if v.accuracy else 0.0,
        )
        ends = [ranked[-1].name, ranked[0].name] if ranked else []
        return tuple(dict.fromkeys([self.baseline, *ends]))

    @property
    def trained_on(self) -> dict[str, int]:
        """How many runs finished under each (device, precision): `amp` is not the same everywhere."""
        done = self.runs[self.runs["status"] == RunStatus.FINISHED].dropna(
            subset=["device", "precision"]
        )
        places = done["device"].astype(str) + ", " + done["precision"].astype(str)
        return {str(place): int(n) for place, n in places.value_counts(sort=False).items()}

    @property
    def elsewhere(self) -> Mapping[str, Any]:
        """What is known of runs that were trained elsewhere; empty where they were trained here."""
        return told_of(self.study)

    @property
    def paired(self) -> bool:
        """Whether runs of one seed share what they begin with and their batches."""
        return bool(self.elsewhere.get("paired", True))

    @property
    def pairing(self) -> float | None:
        """The correlation of accuracies by seed between variants and the baseline; None where equal seeds
        have nothing in common.
        """
        if not self.paired:
            return None
        base = self.reference.accuracies
        shared = [(v.accuracies, sorted(base.keys() & v.accuracies.keys())) for v in self.tested]
        return seed_correlation(
            [([mine[s] for s in seeds], [base[s] for s in seeds]) for mine, seeds in shared]
        )


def summarize(frames: Frames) -> Summary:
    """The summary of one study. Frames may lack rows and columns: what is missing is None."""
    study = frames.study
    aliases: Mapping[str, str] = study.get("aliases") or {}
    runs = _tidy(frames.runs, RUN_COLUMNS, aliases).drop_duplicates("run_key", ignore_index=True)
    baseline = aliases.get(study["baseline"], study["baseline"])
    names = list(dict.fromkeys([*study["variants"], *aliases, *runs["variant"], baseline]))
    done = (runs["status"] == RunStatus.FINISHED) & runs["test_accuracy"].notna()
    finished = runs[done]
    metric = str(study.get("metric") or ACCURACY)
    margin = margin_of(frames.looks, study.get("equivalence_margin"))
    planned = planned_seeds(study)
    last = last_seed(study, planned)
    kinds = by_kind(read_samples(names, finished, frames, aliases, metric), baseline, planned, last)
    # By variant once: to look through all runs for each of thousands of variants would take minutes.
    each = {str(name): rows for name, rows in runs.groupby("variant", sort=False)}
    mine = {name: _judged_by(each.get(name, runs.iloc[:0]), name, kinds, last) for name in names}
    structures = runs.groupby("variant", sort=False)[list(STRUCTURE)].first().to_dict("index")
    samples, found = kinds.own, kinds.effects(margin, looks=any_time(frames.looks))
    places = finished["unmoved_attention"]
    flagged = finished.loc[places.notna() & (places != ""), "variant"]
    unmoved = {str(name): int(n) for name, n in flagged.value_counts().items()}
    speeds = read_speeds(_tidy(frames.costs, COST_COLUMNS, aliases), baseline)
    variants = tuple(
        VariantSummary(
            name=name,
            is_baseline=name == baseline,
            same_as=aliases.get(name),
            planned=_planned(frames, name, kinds, mine[name]) if name not in aliases else 0,
            failed=int((mine[name]["status"] == RunStatus.FAILED).sum()),
            seeds=kinds.of.get(name, Seeds.GRID),
            besides=int(done[each[name].index].sum() - done[mine[name].index].sum())
            if name in each
            else 0,
            accuracies=samples[name].scores if name in samples else {},
            accuracy=_mean(samples.get(name)),
            effect=found.get(name),
            **_structure(structures.get(name, {})),
            unmoved=unmoved.get(name, 0),
            speeds=speeds.get(name, {}),
        )
        for name in names
    )
    by_key = finished[["run_key", "variant", "seed"]]
    by_fingerprint = runs[["fingerprint", "variant"]].drop_duplicates("fingerprint")
    return Summary(
        study=study,
        baseline=baseline,
        leaked=(study.get("recipe") or {}).get("split") == "tutorial",
        margin=margin,
        variants=variants,
        speed_columns=speed_columns(speeds),
        runs=runs,
        epochs=_tidy(frames.epochs, EPOCH_COLUMNS).merge(by_key, on="run_key"),
        steps=_tidy(frames.steps, STEP_COLUMNS).merge(by_key, on="run_key"),
        profile=_tidy(frames.profile, PROFILE_COLUMNS).merge(by_fingerprint, on="fingerprint"),
        traces=_tidy(frames.traces, TRACE_COLUMNS).merge(by_fingerprint, on="fingerprint"),
        layers=_tidy(frames.layers, LAYER_COLUMNS, aliases),
        environments=frames.environments,
        explanations=frames.explanations,
        search=frames.search,
        images=frames.images,
        kinds=kinds,
        confirmed=kinds.confirmed(margin),
        exploratory=_exploratory(frames, judged_runs(finished, kinds, last, planned), planned),
        any_time=any_time(frames.looks),
        data=frames.data,
        metric=metric,
        lacking=count_lacking(finished, frames, metric),
        metrics=frames.metrics,
        dataset_hash=frames.dataset_hash,
        folds=frames.folds,
        fold_runs=runs if frames.folds == 1 else _tidy(frames.fold_runs, RUN_COLUMNS, aliases),
        validation=validation_scores(finished, frames, metric),
    )


def speed_ratio(variant: VariantSummary, base: VariantSummary, column: SpeedColumn) -> Ratio | None:
    """How many times as fast a variant is as another, of which either may be the baseline: the one ratio that
    every command and table says.
    """
    own, other = variant.speeds.get(column), base.speeds.get(column)
    if base.is_baseline:
        return ratio_to(own, other)
    if not variant.is_baseline:
        return ratio_between(own, other)
    found = ratio_to(other, own)
    return None if found is None or own is None else inverse(found)


def _mean(sample: Sample | None) -> Interval | None:
    return interval(list(sample.scores.values())) if sample is not None and sample.scores else None


def last_seed(study: Mapping[str, Any], planned: Mapping[str, int]) -> int:
    """The last seed that is none of a search's fresh ones; runs from elsewhere have no such."""
    return LARGEST_SEED if is_elsewhere(study) else last_of_grid(*planned.values())


def _exploratory(
    frames: Frames, runs: Sequence[FinishedRun], planned: Mapping[str, int]
) -> str | None:
    if is_elsewhere(frames.study):
        return exploratory_imports(frames.looks, runs)
    return exploratory(frames.looks, runs, planned)


def planned_seeds(study: Mapping[str, Any]) -> dict[str, int]:
    """How many seeds a study declares for each of its networks."""
    aliases = study.get("aliases") or {}
    baseline = aliases.get(study["baseline"], study["baseline"])
    names = [name for name in study["variants"] if name not in aliases]
    return {name: int(_declared(study, name, baseline)) for name in names}


def _declared(study: Mapping[str, Any], name: str, baseline: str) -> int:
    seeds = study.get("baseline_seeds") if name == baseline else None
    return int(seeds or study["seeds"])


def _tidy(
    frame: pd.DataFrame, columns: Sequence[str], aliases: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """The named columns, empty where they are missing; names of one network brought together."""
    tidy = frame.reindex(columns=list(columns))
    texts = ("run_key", "fingerprint")
    # An empty frame's columns have no type, and pandas refuses to merge a float with a string.
    tidy = tidy.astype({name: object for name in texts if name in columns})
    if aliases:
        tidy["variant"] = tidy["variant"].replace(dict(aliases))
    return tidy


def _judged_by(runs: pd.DataFrame, name: str, kinds: Kinds, last: int) -> pd.DataFrame:
    """Of all runs of a variant, finished or not, those with seeds of the kind that it is judged by."""
    fresh = kinds.of.get(name) is Seeds.FRESH
    return runs[(runs["seed"] > last) == fresh]


def _planned(frames: Frames, name: str, kinds: Kinds, mine: pd.DataFrame) -> int:
    """The seeds that the study asks for; a variant outside its grid, or one that got seeds until it was
    decided, has the runs that it has.
    """
    as_it_is = any_time(frames.looks) or is_elsewhere(frames.study)
    if kinds.of[name] is not Seeds.GRID or as_it_is:
        return len(mine)
    return _declared(frames.study, name, kinds.baseline)


def _structure(found: Mapping[Any, Any]) -> dict[str, float | None]:
    """Numbers of a network, None where no run says them."""
    values = {name: found.get(name) for name in STRUCTURE}
    return {name: None if pd.isna(value) else float(value) for name, value in values.items()}
