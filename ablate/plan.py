"""Study → cells: every variant built on paper, aliases found, runs named. Trains nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablate.attention import complete
from ablate.datasets import open_dataset
from ablate.datasets.augment import check_augments
from ablate.datasets.base import Dataset, Images
from ablate.datasets.summary import refuse_one_class, summarize_dataset
from ablate.errors import StudyError, nearest
from ablate.identity import forget_origins
from ablate.identity.proof import NamedNetwork, name_network
from ablate.measure.architecture import describe
from ablate.network.fresh import check_seeds
from ablate.network.places import find_own_attention
from ablate.network.trace import check_classifies
from ablate.result import Architecture
from ablate.result.dataset import DatasetSummary
from ablate.study import Study, Variant, run_key
from ablate.study.controls import controls_in, unmatched
from ablate.study.meant import or_meant
from ablate.system.imports import prints_to_stderr
from ablate.system.machine import keep_freed_memory, one_thread
from ablate.system.pulse import PULSE
from ablate.train.optimizers import check_optimizer
from ablate.train.schedules import find_schedule


@dataclass(frozen=True)
class Cell:
    """A variant and a seed of a study; `run_key` is None where the dataset's content is not known."""

    variant: Variant
    seed: int
    architecture: Architecture
    run_key: str | None


@dataclass(frozen=True)
class Plan:
    """A study with everything resolved. Cells go seed by seed: cut short, it is a smaller study.

    `names` are those of all variants in the grid's order, `variants` the networks that are built.
    `aliases` maps the name of a variant that builds the same network as an earlier one to that
    one's name; such a variant has no cells of its own. `own_attention` is what the backbone brings
    along: kind → paths. `notes` are what a reader of the results should know. `named` is what whoever
    builds these networks in another process must prove, None where they are not the user's own. `data` are
    its images in numbers, where somebody has counted them (`with_data`).
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

    @property
    def controls(self) -> tuple[str, ...]:
        """The names of the variants that are controls, in the grid's order."""
        return tuple(controls_in(self.study.controls, self.names))

    @property
    def definition(self) -> dict[str, Any]:
        """What the report needs to know of the study, as JSON."""
        given = self.study.model_dump(mode="json")
        held_out = {} if self.data is None else {"validation_images": self.data.validation_images}
        return {
            **given,
            **held_out,
            "dataset": self.dataset.label,
            "controls": list(self.controls),
            "variants": list(self.names),
            "aliases": self.aliases,
        }


@one_thread()
@prints_to_stderr()
def make_plan(study: Study, data: Path | None = None) -> Plan:
    """Resolve a study's names, build its variants in outline and list its cells.

    Raises:
        StudyError: a name, option or position that cannot be honoured, or an unknown baseline.
        DataError: the dataset cannot be found.
    """
    keep_freed_memory()  # every network takes the same memory again
    check_augments(study.recipe.augment)
    check_optimizer(study.recipe.optimizer)
    find_schedule(study.recipe.schedule)
    variants = [complete(variant) for variant in study.variants()]
    names = [variant.name for variant in variants]
    study = study.model_copy(update={"baseline": or_meant(study.baseline, names)})
    _check_baseline(study, names)
    _check_controls(study, names)
    dataset = open_dataset(study.dataset, data, study.image_size, study.data).pinned()
    refuse_one_class(dataset)
    classes = len(dataset.classes())
    PULSE.step(f"building {study.backbone}")
    check_classifies(study.backbone, classes, dataset.image_size)
    note = check_seeds(study.backbone, classes)
    forget_origins()
    built = _build(variants, classes, dataset.image_size, study.identity)
    kept, aliases = _collapse(built, study.baseline)
    return Plan(
        study=study,
        dataset=dataset,
        names=tuple(dict.fromkeys(variant.name for variant in variants)),
        variants={variant.name: architecture for variant, architecture in kept.items()},
        aliases=aliases,
        cells=_cells(study, dataset, kept),
        own_attention=find_own_attention(study.backbone, classes, dataset.image_size),
        notes=() if note is None else (note,),
        named=name_network(study.backbone, classes, study.identity),
    )


def with_data(plan: Plan, images: Images | None = None) -> Plan:
    """The plan with its images counted, of which none is decoded for it.

    Raises:
        DataError: all images are the same, or none can be held out.
    """
    study = plan.study
    return replace(plan, data=summarize_dataset(plan.dataset, study.recipe, study.data, images))


def _build(
    variants: Sequence[Variant], classes: int, image_size: int, identity: str | None
) -> dict[Variant, Architecture]:
    distinct = list(dict.fromkeys(variants))
    built: dict[Variant, Architecture] = {}
    for variant in distinct:
        PULSE.count("building variants", len(built), len(distinct))
        built[variant] = describe(variant, classes, image_size, identity)
    return built


def _check_baseline(study: Study, names: list[str]) -> None:
    if study.baseline not in names:
        raise StudyError(
            f"the baseline {study.baseline!r} is no variant of the grid"
            f"{nearest(study.baseline, names)}; there are: {', '.join(names[:40])}"
        )


def _check_controls(study: Study, names: Sequence[str]) -> None:
    for control in unmatched(study.controls, names):
        raise StudyError(
            f"the control {control!r} is no variant of the grid{nearest(control, names)}; there are: "
            f"{', '.join(names[:40])}"
        )
    for control in study.controls:
        if study.baseline in controls_in([control], names):
            raise StudyError(
                f"the control {control!r} names the baseline, and nothing is its own control: name a placebo"
            )


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


def _cells(study: Study, dataset: Dataset, kept: dict[Variant, Architecture]) -> tuple[Cell, ...]:
    content = dataset.content_hash()
    seeds = {variant: study.seeds_of(variant.name) for variant in kept}

    def key(variant: Variant, seed: int) -> str | None:
        if content is None:
            return None
        fingerprint, size = kept[variant].fingerprint, dataset.image_size
        return run_key(fingerprint, study.recipe, content, size, seed, study.data)

    return tuple(
        Cell(variant, seed, kept[variant], key(variant, seed))
        for seed in range(1, max(seeds.values()) + 1)
        for variant in kept
        if seed <= seeds[variant]
    )
