"""VARIANT and a seed → the trained network whose weights are stored."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from ablate.attention import complete
from ablate.datasets.base import Dataset
from ablate.errors import WeightsError
from ablate.model import build, identify
from ablate.network.weights_file import find_weights
from ablate.store.files.weights import read_weights
from ablate.store.reading.runs import StoredRun, stored_runs, why_none_finished
from ablate.study import Study, Variant
from ablate.study.began import began_so
from ablate.study.meant import find_variant, meant_variants
from ablate.system.messages.text import plural
from ablate.train.step import set_dropout
from ablate.train.weights import load_weights


@dataclass(frozen=True)
class Trained:
    """A run with its network."""

    run: StoredRun
    variant: Variant
    net: nn.Module = field(repr=False)


def find_trained(
    name: str, study: Study, dataset: Dataset, url: str, seed: int | None = None
) -> Trained:
    """The network of a variant, of the grid or one that a search found: of that seed, or else the best by
    validation accuracy of those whose weights are stored, the first of equals.

    Raises:
        UnknownNameError: the study has no such variant.
        WeightsError: no weights of it are stored, or of another network by now, or only of runs that began
            with other weights than the study's networks do now.
    """
    content = str(dataset.content_hash())
    runs = stored_runs(url, study.name, content, study.setting)
    variant = _variant(name, study, runs)
    classes, size = len(dataset.classes()), dataset.image_size
    mark = identify(variant, classes, size, study.identity)
    kept = [run for run in runs if run.fingerprint == mark and run.weights_sha256 is not None]
    kept = begun_as_now(kept, variant.name, study, content)
    asked = [run for run in kept if seed in (None, run.seed)]
    if not asked:
        mine = [run for run in runs if run.fingerprint == mark and seed in (None, run.seed)]
        raise _none(variant.name, seed, kept, why_none_finished(mine))
    run = min(asked, key=lambda each: (-(each.val_accuracy or 0.0), each.seed, each.fold or 0))
    net = build(variant, classes, size, run.seed)
    load_weights(net, read_weights(url, run), f"run {run.run_key}")
    set_dropout(net, study.recipe)
    return Trained(run, variant, net)


def begun_as_now(runs: list[StoredRun], name: str, study: Study, content: str) -> list[StoredRun]:
    """Those that began with the weights that the study's networks begin with now; all where their file is not
    here, so that nobody can tell.

    Raises:
        WeightsError: there are others, and none of these.
    """
    if study.weights is None:
        return runs
    try:
        weights = find_weights(study.weights, study.backbone).sha256
    except WeightsError:
        return runs
    found = [run for run in runs if began_so(run, study, content, weights)]
    if runs and not found:
        raise WeightsError(
            f"no weights of {name} are stored that began with {study.weights} as it is now (SHA-256 "
            f"{weights[:8]}): those of {plural(len(runs), 'run')} began with others. Put the file back that "
            "they began with, or let `ablate run` train it"
        )
    return found


def _variant(name: str, study: Study, runs: list[StoredRun]) -> Variant:
    """The variant that a name means: of the study's own, or else of those that it has runs of."""
    variants = {variant.name: variant for variant in map(complete, study.variants())}
    others = {run.variant: run for run in runs if run.variant not in variants}
    if name not in variants and not meant_variants(name, variants):
        name = find_variant(name, [*variants, *others])
    if name not in others:
        return variants[find_variant(name, variants)]
    run = others[name]
    return complete(
        Variant(study.backbone, run.attention, run.position, tuple(run.options.items()))
    )


def _none(name: str, seed: int | None, kept: list[StoredRun], failed: str) -> WeightsError:
    of = "" if seed is None else f", seed {seed},"
    seeds = dict.fromkeys(str(run.seed) for run in kept)
    there = f"of seed {', '.join(seeds)}" if kept else "none"
    if failed:
        return WeightsError(
            f"no weights of {name}{of} are stored, as no run of it finished: {failed}"
        )
    return WeightsError(
        f"no weights of {name}{of} are stored under this setting; there are: {there}. `ablate run --keep` "
        "says of which seeds they stay (--set and --data as they were run with)"
    )
