"""RUN_OR_VARIANT → a network with weights, and where those come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from ablate.attention import complete
from ablate.datasets.base import Dataset
from ablate.errors import StudyError
from ablate.explain.titles import titles_of
from ablate.identity.known import forget_origins
from ablate.model import build, identify
from ablate.network.pretrained import load_pretrained
from ablate.network.weights_file import find_weights
from ablate.store.files.weights import read_weights
from ablate.store.reading.held import stored_settings
from ablate.store.reading.runs import StoredRun, stored_runs, why_none_finished
from ablate.study import Study, Variant
from ablate.study.meant import find_variant
from ablate.system.messages.language import N_, _, retold, seed_told
from ablate.train.weights import load_weights

SHORTEST_PREFIX = 4
SEED = 1
"""The seed of an untrained network."""

CHANGED = N_(
    ", but its source, the weights that it loads or its settings have changed "
    "since: another network"
)
OF_BEFORE = N_(
    "; those of run {run} are of another network: its source, loaded weights or settings changed"
)
"""After a kept run of the variant's name."""


@dataclass(frozen=True)
class LoadedNetwork:
    """A network to look into: `weights` says in words where its weights come from, `fold` which images it was
    tested on where there are folds; None of an untrained one, which has no `run_key`. `title` tells it from
    the others that it is shown with.
    """

    name: str
    weights: str
    net: nn.Module = field(repr=False)
    fold: int | None = None
    run_key: str = ""
    title: str = ""


def load_networks(
    targets: Sequence[str], study: Study, dataset: Dataset, url: str
) -> list[LoadedNetwork]:
    """The networks that the command line names, in its order.

    A variant's name stands for its run whose weights are stored, that of the lowest seed, or for the
    untrained network where there is none; a run key, or its beginning, for that run.

    Raises:
        UnknownNameError: neither a variant of the study nor a run of it; names the nearest.
        StudyError: a beginning that several runs share, or a study that was run under other settings.
        WeightsError: weights that are not kept, missing, changed or do not fit.
    """
    forget_origins()  # of a notebook, in which files may have been edited
    content = str(dataset.content_hash())
    runs = stored_runs(url, study.name, content, study.setting)
    if not runs and (there := stored_settings(url, study.name)):
        raise StudyError(
            f"the database has no runs of study {study.name!r} on these images, {dataset.label} (content "
            f"{content[:8]}), with this backbone, image size and recipe; it has: {'; '.join(there)} (use the "
            "--data and --set that they were run with, images unchanged; to look at untrained networks, give "
            "the study another name with --set name=NAME)"
        )
    variants = {v.name: v for v in map(complete, study.variants())}
    found = [_find(target, variants, runs, study, dataset, url) for target in targets]
    titles = titles_of([(each.name, each.run_key) for each in found])
    return [replace(each, title=title) for each, title in zip(found, titles, strict=True)]


def _find(
    target: str,
    variants: dict[str, Variant],
    runs: list[StoredRun],
    study: Study,
    dataset: Dataset,
    url: str,
) -> LoadedNetwork:
    classes, size = len(dataset.classes()), dataset.image_size
    target = _found_by_search(target, variants, runs)
    if not any(run.run_key.startswith(target) for run in runs) or len(target) < SHORTEST_PREFIX:
        keys = [run.run_key for run in runs if run.weights_sha256]
        target = find_variant(target, variants, "variant or run", keys)
    if target not in variants:
        run = _run_of(target, runs)
        options = tuple(run.options.items())
        variant = Variant(study.backbone, run.attention, run.position, options)
        content = read_weights(url, run)
        mark = identify(variant, classes, size, study.identity)
        return _trained(
            run, content, variant, dataset, "" if run.fingerprint == mark else _(CHANGED)
        )
    variant = variants[target]
    mark = identify(variant, classes, size, study.identity)
    kept = sorted(
        (run for run in runs if run.weights_sha256 is not None),
        key=lambda run: (run.seed, run.fold or 0),
    )
    for run in kept:
        if run.fingerprint == mark:
            return _trained(run, read_weights(url, run), variant, dataset)
    before = "".join(_(OF_BEFORE, run=run.run_key) for run in kept if run.variant == variant.name)
    net = build(variant, classes, size, SEED)
    begins = _("untrained")
    if study.weights is not None:
        weights = find_weights(study.weights, study.backbone, partial=study.weights_partial)
        load_pretrained(net, weights, study.backbone, classes, size)
        begins = _("as it begins, with the weights {weights}", weights=study.weights)
    failed = why_none_finished([run for run in runs if run.fingerprint == mark])
    if failed:
        before = _("; {failed}{before}", failed=retold(failed), before=before)
    said = _("{begins}: no weights of a run of it are stored{before}", begins=begins, before=before)
    return LoadedNetwork(variant.name, said, net)


def _found_by_search(name: str, variants: dict[str, Variant], runs: list[StoredRun]) -> str:
    """The run whose weights are stored, of the lowest seed, of a variant that no grid has; else the name."""
    kept = [run for run in runs if run.variant == name and run.weights_sha256 is not None]
    if name in variants or not kept:
        return name
    return min(kept, key=lambda run: (run.seed, run.fold or 0)).run_key


def _run_of(target: str, runs: list[StoredRun]) -> StoredRun:
    found = [run for run in runs if run.run_key.startswith(target)]
    if len(found) > 1:
        keys = ", ".join(run.run_key for run in found[:5])
        raise StudyError(f"run {target!r}: {len(found)} runs begin so ({keys}); give more of it")
    return found[0]


def _trained(
    run: StoredRun, content: bytes, variant: Variant, dataset: Dataset, said: str = ""
) -> LoadedNetwork:
    net = build(variant, len(dataset.classes()), dataset.image_size, run.seed)
    load_weights(net, content, f"run {run.run_key}")
    trained = _(
        "trained: run {run_key}, {which}{said}",
        run_key=run.run_key,
        which=seed_told(run.seed, run.fold),
        said=said,
    )
    return LoadedNetwork(variant.name, trained, net, run.fold, run.run_key)
