"""Study → cells: every variant built on paper, aliases found, runs named. Trains nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablate.datasets import open_dataset
from ablate.datasets.base import Dataset, Images
from ablate.datasets.summary import count_trained, refuse_one_class, summarize_dataset
from ablate.network.weights_file import find_weights
from ablate.outline.asked import Asked
from ablate.outline.find import find_outlines
from ablate.outline.weights import fit_note, known_fit
from ablate.result import Architecture
from ablate.result.dataset import DatasetSummary
from ablate.result.named import NamedFunction, NamedNetwork
from ablate.result.pretrained import Pretrained
from ablate.study import Study, Variant
from ablate.study.batches import left_out
from ablate.study.complete import complete_variant
from ablate.study.controls import controls_in
from ablate.study.keys import by_difference, run_conditions, run_keys
from ablate.study.names import ATTENTION_OPTIONS, check_recipe, with_whole_baseline
from ablate.study.own_code import METRIC_SOURCE, TRAINER_SOURCE, Sources
from ablate.study.own_metrics import is_own_metric
from ablate.study.trained import Weights, check_trained, frozen_note
from ablate.system.messages.language import Said, _, seed_told
from ablate.system.messages.pulse import PULSE


@dataclass(frozen=True)
class Cell:
    """A variant and a seed of a study, and the fold that is tested where there are folds; `run_key` is None
    where the dataset's content is not known.
    """

    variant: Variant
    seed: int
    architecture: Architecture
    run_key: str | None
    fold: int | None = None

    @property
    def name(self) -> str:
        """In words: `se(pool1, r=16), seed 1`, and `, fold 2` of one with folds."""
        return _("{name}, {which}", name=self.variant.name, which=seed_told(self.seed, self.fold))


@dataclass(frozen=True)
class Plan:
    """A study with everything resolved. Cells go seed by seed, and in a seed fold by fold: cut short, it is a
    smaller study.

    `names` are those of all variants in the grid's order, `variants` the networks that are built.
    `aliases` maps the name of a variant that builds the same network as an earlier one to that
    one's name; such a variant has no cells of its own. `own_attention` is what the backbone brings
    along: kind → paths. `notes` are what a reader of the results should know. `named` is what whoever
    builds these networks in another process must prove, None where they are not the user's own. `data` are
    its images in numbers, where somebody has counted them (`with_data`), `pretrained` the weights that its
    networks begin with. Each epoch leaves out `left_out` images, so that no batch has a single one; of folds
    each has its own number, in its cells' keys. `trainer` is the user's function that trains them, if not we
    do, `metric` the one that measures them, if it is none of ours.
    """

    study: Study
    dataset: Dataset
    names: tuple[str, ...]
    variants: dict[str, Architecture]
    aliases: dict[str, str]
    cells: tuple[Cell, ...]
    own_attention: dict[str, list[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    named: NamedNetwork | None = None
    data: DatasetSummary | None = None
    left_out: int = 0
    pretrained: Pretrained | None = None
    trainer: NamedFunction | None = None
    metric: NamedFunction | None = None

    @property
    def sources(self) -> Sources:
        """The hashes of what the user's functions reach that train and measure its runs."""
        found = {TRAINER_SOURCE: self.trainer, METRIC_SOURCE: self.metric}
        return {key: each.digest for key, each in found.items() if each is not None}

    @property
    def own_code(self) -> dict[str, str]:
        """What is stored of the user's functions with each run, as JSON; nothing where there are none."""
        named = {} if self.metric is None else {"metric": self.metric.name}
        return {**named, **self.sources}

    @property
    def weights_sha256(self) -> str | None:
        """Of the weights that its networks begin with; None where all are drawn."""
        return None if self.pretrained is None else self.pretrained.sha256

    @property
    def controls(self) -> tuple[str, ...]:
        """The names of the variants that are controls, in the grid's order."""
        return tuple(controls_in(self.study.controls, self.names))

    @property
    def definition(self) -> dict[str, Any]:
        """What the report needs to know of the study, as JSON."""
        given = self.study.model_dump(mode="json")
        held_out = {} if self.data is None else {"validation_images": self.data.validation_images}
        context = {"context": dict(self.study.context)} if self.study.context else {}
        begun = by_difference({"weights_sha256": self.weights_sha256}, {"weights_sha256": None})
        return {
            **given,
            **held_out,
            **context,
            **begun,
            **self.sources,
            "dataset": self.dataset.label,
            "controls": list(self.controls),
            "variants": list(self.names),
            "aliases": self.aliases,
        }


def make_plan(study: Study, data: Path | None = None) -> Plan:
    """Resolve a study's names, find what its variants are on paper and list its cells. Loads torch only
    for what no plan of before has built.

    Raises:
        StudyError: a name, option or position that cannot be honoured, or an unknown baseline.
        DataError: the dataset cannot be found.
    """
    check_recipe(study.recipe)
    variants = [_completed(variant) for variant in study.variants()]
    names = [variant.name for variant in variants]
    study = with_whole_baseline(study, names)
    dataset = open_dataset(study.dataset, data, study.image_size, study.data).pinned()
    refuse_one_class(dataset)
    PULSE.step(_("building {backbone}", backbone=study.backbone))
    distinct = tuple(dict.fromkeys(variants))
    classes, size = len(dataset.classes()), dataset.image_size
    outlines = find_outlines(Asked(study.backbone, distinct, classes, size, study.identity))
    alone = {fold: _left_out(study, dataset, fold) for fold in folds_of(study)}
    built = dict(zip(distinct, outlines.architectures, strict=True))
    trained = [weights_of(architecture) for architecture in outlines.architectures]
    check_trained(study.recipe, study.backbone, trained)
    weights, weights_note = _weights(study, classes, size)
    kept, aliases = _collapse(built, study.baseline)
    plan = Plan(
        study=study,
        dataset=dataset,
        names=tuple(dict.fromkeys(names)),
        variants={variant.name: architecture for variant, architecture in kept.items()},
        aliases=aliases,
        cells=(),
        own_attention=dict(outlines.own_attention),
        notes=(
            *dataset.notes(),
            *_notes(study, any(alone.values())),
            *filter(None, (outlines.note, weights_note, frozen_note(study.recipe, trained[0]))),
        ),
        named=outlines.named,
        left_out=alone.get(None, 0),
        pretrained=weights,
        trainer=_trainer(study),
        metric=_metric(study, classes),
    )
    return replace(plan, cells=_cells(plan, kept, alone))


def _metric(study: Study, classes: int) -> NamedFunction | None:
    """The user's metric by everything that names it, once it was called of made-up images."""
    if not is_own_metric(study.metric):
        return None
    # Here, not above: most studies have none, and statistics take a while to load.
    from ablate.identity.own_metric import name_metric
    from ablate.stats.own_metric import find_own_metric, try_own_metric

    PULSE.step(_("trying the metric {metric}", metric=study.metric))
    found = find_own_metric(study.metric)
    named = name_metric(found)
    try_own_metric(found, classes)
    return named


def _weights(study: Study, classes: int, size: int) -> tuple[Pretrained | None, str | None]:
    """What the networks of a study begin with, and what is said of it."""
    if study.weights is None:
        return None, None
    PULSE.step(_("reading the weights {weights}", weights=study.weights))
    weights = find_weights(study.weights, study.backbone, partial=study.weights_partial)
    fit = known_fit(weights, study.backbone, classes, size)
    return weights, fit_note(weights, fit, classes)


def _trainer(study: Study) -> NamedFunction | None:
    """The user's function that trains the runs of a study, by all that it reaches."""
    if study.recipe.trainer is None:
        return None
    PULSE.step(_("reading the trainer {trainer}", trainer=study.recipe.trainer))
    from ablate.train.own_trainer import name_trainer

    return name_trainer(study.recipe.trainer)


def weights_of(architecture: Architecture) -> list[Weights]:
    """The modules of a network that have weights of their own, in its order."""
    found = {layer.path: Weights(layer.path, layer.attention) for layer in architecture.layers}
    return list(found.values())


def with_data(plan: Plan, images: Images | None = None) -> Plan:
    """The plan with its images counted, of which none is decoded for it.

    Raises:
        DataError: all images are the same, or none can be held out.
    """
    study = plan.study
    return replace(plan, data=summarize_dataset(plan.dataset, study.recipe, study.data, images))


def _completed(variant: Variant) -> Variant:
    """With its options written out: those of the classes themselves, where a process has these, and of a
    user's own, which only importing it tells."""
    if "ablate.attention" not in sys.modules and not variant.own_kinds:
        return complete_variant(variant, ATTENTION_OPTIONS)
    from ablate.attention import complete

    return complete(variant)


def _collapse(
    built: dict[Variant, Architecture], baseline: str
) -> tuple[dict[Variant, Architecture], dict[str, str]]:
    """One variant for each fingerprint (the baseline, or else the first), and who stands for whom."""
    order = sorted(built, key=lambda variant: variant.name != baseline)
    first: dict[str, Variant] = {}
    for variant in order:
        first.setdefault(built[variant].fingerprint, variant)
    chosen = set(first.values())
    kept = {variant: built[variant] for variant in built if variant in chosen}
    aliases = {v.name: first[built[v].fingerprint].name for v in built if v not in chosen}
    return kept, aliases


def folds_of(study: Study) -> tuple[int | None, ...]:
    """The folds of a study from 1 on; one that is None where there are none."""
    folds = study.data.folds
    return (None,) if folds is None else tuple(range(1, folds + 1))


def _left_out(study: Study, dataset: Dataset, fold: int | None) -> int:
    """How many images an epoch leaves out; 0 too where nobody knows yet how many there are."""
    images = count_trained(dataset, study.recipe, study.data, fold)
    return 0 if images is None else left_out(images, study.recipe)


def _notes(study: Study, alone: bool) -> Iterator[str]:
    if study.recipe.trainer is not None:
        yield Said(
            "trained by {trainer}; what a training step costs is measured with a plain step of Adam",
            trainer=study.recipe.trainer,
        )
    if alone:
        yield Said(
            "the last batch of {size} would be of one image: each epoch leaves one out, another one each "
            "time (another recipe.batch_size needs none)",
            size=study.recipe.batch_size,
        )


def _cells(
    plan: Plan, kept: dict[Variant, Architecture], alone: dict[int | None, int]
) -> tuple[Cell, ...]:
    study, keys = plan.study, _keys(plan, kept, alone)
    return tuple(
        Cell(variant, seed, architecture, keys[place, fold][seed - 1], fold)
        for seed in range(1, max(map(len, keys.values())) + 1)
        for fold in folds_of(study)
        for place, (variant, architecture) in enumerate(kept.items())
        if seed <= len(keys[place, fold])
    )


def _keys(
    plan: Plan, kept: dict[Variant, Architecture], alone: dict[int | None, int]
) -> dict[tuple[int, int | None], Sequence[str | None]]:
    """The keys of each variant, by its place, and fold: one for each of its seeds."""
    study, content, size = plan.study, plan.dataset.content_hash(), plan.dataset.image_size
    found = dict[tuple[int, int | None], Sequence[str | None]]()
    brought = plan.weights_sha256, plan.sources
    for fold in folds_of(study):
        left = alone[fold]
        conditions = run_conditions(study.recipe, content or "", size, study.data, left, *brought)
        for place, (variant, architecture) in enumerate(kept.items()):
            seeds = range(1, study.seeds_of(variant.name) + 1)
            known = run_keys(conditions, architecture.fingerprint, seeds, fold)
            found[place, fold] = known if content is not None else [None] * len(seeds)
    return found
