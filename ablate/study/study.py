"""Study: a whole study file.

Names of attention, backbones and datasets are resolved later, by the shelves that have them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from ablate.study.augments import furthest_shift
from ablate.study.base import StudyTable
from ablate.study.data import ALL_DATA, DataTable
from ablate.study.grid import GridTable
from ablate.study.keys import setting_key, stored_conditions
from ablate.study.metrics import ACCURACY, metric_to_judge_by
from ablate.study.own_metrics import is_own_metric
from ablate.study.recipe import Recipe
from ablate.study.search import ACCURACY as SEARCHED
from ablate.study.search import Search, quality_metric
from ablate.study.variant import NO_ATTENTION, Variant
from ablate.system.messages.context import Context

MAX_CELLS = 100_000


class Study(StudyTable):
    """One question: a backbone, a dataset, a grid, a recipe, seeds and a baseline.

    `metric` is what verdicts, search and report speak of, ours or a function of the user's;
    `equivalence_margin` is in it (0.005 is half a point): what a verdict calls equivalent.
    `image_size` is the side in pixels to which a dataset of files is brought. `identity` names the
    network by hand, where something in it cannot be described. `weights` are those that the backbone begins
    with, all of them unless `weights_partial`. `controls` are second baselines,
    placebos and the like, by name or glob.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    question: str = ""
    dataset: str
    image_size: Annotated[int, Field(ge=8, le=1024)] = 32
    backbone: str
    identity: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    weights: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    weights_partial: bool = False
    baseline: str = NO_ATTENTION
    seeds: Annotated[int, Field(ge=1, le=10_000)] = 5
    baseline_seeds: Annotated[int, Field(ge=1, le=10_000)] | None = None
    equivalence_margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    metric: Annotated[str, AfterValidator(metric_to_judge_by)] = ACCURACY
    controls: tuple[str, ...] = ()
    recipe: Recipe = Recipe()
    data: DataTable = ALL_DATA
    grid: Annotated[tuple[GridTable, ...], Field(min_length=1)]
    search: Search | None = None
    _context: Context = PrivateAttr(default=())
    _elsewhere: tuple[GridTable, ...] = PrivateAttr(default=())

    @model_validator(mode="before")
    @classmethod
    def _searched_by_metric(cls, given: Any) -> Any:
        """A search looks for the study's metric, unless its objectives name another one."""
        if not isinstance(given, dict) or not isinstance(given.get("search"), dict):
            return given
        metric, search = given.get("metric", ACCURACY), given["search"]
        named = search.get("objectives", [SEARCHED])
        objectives = [named] if isinstance(named, str) else named
        unknown = metric == ACCURACY or quality_metric(f"val_{metric}") is None
        if unknown or not isinstance(objectives, list | tuple):
            return given
        own = [f"val_{metric}" if name == SEARCHED else name for name in objectives]
        return {**given, "search": {**search, "objectives": own}}

    @model_validator(mode="after")
    def _checked(self) -> Self:
        for table in self.grid:
            for key, values in table.axes().items():
                if not values:
                    raise ValueError(f"grid: {key} is an empty list; leave the key out or fill it")
                if not all(v is None or isinstance(v, (int, float, str)) for v in values):
                    raise ValueError(f"grid: {key} must be a number, a string or a list of them")
        if self.weights_partial and self.weights is None:
            raise ValueError("weights_partial is about weights, and there are none: leave it out")
        variants, most = self.variants_written, max(self.seeds, self.baseline_seeds or 0)
        if variants * most > MAX_CELLS:
            raise ValueError(
                f"the grid has {variants} variants × {most} seeds = {variants * most:,} cells; "
                f"at most {MAX_CELLS:,} fit into one study: split it"
            )
        if (pixels := furthest_shift(self.recipe.augment)) >= self.image_size:
            raise ValueError(
                f"translate: images of {self.image_size} pixels cannot be shifted by {pixels}: "
                "make it smaller"
            )
        searched = self.metric if self.search is None else self.search.metric
        if is_own_metric(searched) and searched != self.metric:
            raise ValueError(
                f"search: val_{searched} is not measured: a study measures one metric of your own, "
                f'metric = "{searched}"'
            )
        if self.search is not None and self.recipe.split == "tutorial":
            raise ValueError(
                'search: the split "tutorial" has no validation images, and a search sees nothing else'
            )
        return self

    def in_context(self, context: Context) -> Self:
        """The same study, as that context of several."""
        study = self.model_copy()
        study._context = context
        return study

    def beside(self, elsewhere: Sequence[GridTable]) -> Self:
        """The same study, of whose file only other contexts have these tables."""
        study = self.model_copy()
        study._elsewhere = tuple(elsewhere)
        return study

    @property
    def context(self) -> Context:
        """What is special to it among the contexts of its file; nothing where there are none."""
        return self._context

    @property
    def variants_written(self) -> int:
        """How many variants its tables make, those that two make counted twice; none is made for it."""
        return sum(math.prod(len(v) for v in table.axes().values()) for table in self.grid)

    def variants(self) -> list[Variant]:
        """The union of the grid's tables, in their order, as they are written."""
        return list(dict.fromkeys(v for table in self.grid for v in table.variants(self.backbone)))

    def variants_elsewhere(self) -> list[Variant]:
        """Those of tables that only other contexts of its file have."""
        return [v for table in self._elsewhere for v in table.variants(self.backbone)]

    @property
    def setting(self) -> str:
        """A short hash of what all runs of a study have in common, apart from the images.

        One study under two settings, as with `--set recipe.epochs=1`, is two sets of results.
        """
        return setting_key(self.backbone, self.recipe, self.image_size, self.data, self.weights)

    @property
    def conditions(self) -> dict[str, Any]:
        """What its runs are trained under, as it is stored with each, as JSON."""
        return stored_conditions(self.recipe, self.data, self.weights)

    def seeds_of(self, variant_name: str) -> int:
        """How many seeds a variant gets: `baseline_seeds` for the baseline, else `seeds`."""
        if variant_name == self.baseline and self.baseline_seeds is not None:
            return self.baseline_seeds
        return self.seeds
