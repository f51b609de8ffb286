"""The words of a study: Study, Recipe, Variant, and the key of a run. No torch.

Names of attention, backbones and datasets are resolved later, by the shelves that have them.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ablate.digest import digest
from ablate.search_table import Search

MAX_CELLS = 100_000

PROTOCOL = 2
"""Part of every run key: raised when a change to training can change a result."""

NO_ATTENTION = "none"
SHORT_OPTION = {"reduction": "r", "kernel_size": "k"}

Option = int | float | str
Split = Literal["validation", "tutorial"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Recipe(_Frozen):
    """Everything about training that can change the number.

    `precision = "amp"` is bf16 where the hardware has it, else fp16 with a scaler on a GPU, else fp32.
    `split = "tutorial"` trains on all training images and lets the schedule see the test set.
    """

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 50
    batch_size: Annotated[int, Field(ge=2, le=1_000_000)] = 64
    optimizer: str = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    schedule: str = "plateau"
    augment: tuple[str, ...] = ("crop", "flip", "color", "rotate")
    precision: Literal["amp", "fp32"] = "amp"
    split: Split = "validation"
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1


@dataclass(frozen=True, slots=True)
class Variant:
    """One architecture: a backbone with attention at given places. Names and numbers only."""

    backbone: str
    attention: str = NO_ATTENTION
    position: str | None = None
    options: tuple[tuple[str, Option], ...] = ()

    @property
    def name(self) -> str:
        """`none`, `se(pool3, r=16)`, `cbam(pool*, r=16, k=7)`."""
        if self.attention == NO_ATTENTION:
            return NO_ATTENTION
        options = [f"{SHORT_OPTION.get(key, key)}={value}" for key, value in self.options]
        return f"{self.attention}({', '.join([str(self.position), *options])})"

    def option(self, key: str) -> Option | None:
        """The value of one option, None where this variant has no such option."""
        return dict(self.options).get(key)

    def options_at(self, part: int) -> dict[str, Option]:
        """The options at one part of the position: `"4+16"` is 4 at the first and 16 at the second."""
        return {key: _part(value, part) for key, value in self.options}


def _part(value: Option, part: int) -> Option:
    if isinstance(value, str) and "+" in value:
        return int(value.split("+")[part])
    return value


class GridTable(BaseModel):
    """One `[[grid]]` table: the product of its lists. Keys beyond these two are attention options."""

    model_config = ConfigDict(frozen=True, extra="allow")

    attention: str | tuple[str, ...]
    position: str | tuple[str, ...] | None = None

    def axes(self) -> dict[str, tuple[Any, ...]]:
        """Every key with the values that it takes."""
        given = {"attention": self.attention, "position": self.position, **(self.model_extra or {})}
        return {key: tuple(v) if isinstance(v, (list, tuple)) else (v,) for key, v in given.items()}

    def variants(self, backbone: str) -> Iterator[Variant]:
        axes = self.axes()
        for values in itertools.product(*axes.values()):
            cell = dict(zip(axes, values, strict=True))
            attention, position = cell.pop("attention"), cell.pop("position")
            yield Variant(backbone, attention, position, tuple(cell.items()))


class Study(_Frozen):
    """One question: a backbone, a dataset, a grid, a recipe, seeds and a baseline.

    `equivalence_margin` is in accuracy (0.005 is half a point): only with it can a verdict be
    "equivalent". `image_size` is the side in pixels to which a dataset of files is brought.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    question: str = ""
    dataset: str
    image_size: Annotated[int, Field(ge=8, le=1024)] = 32
    backbone: str
    baseline: str = NO_ATTENTION
    seeds: Annotated[int, Field(ge=1, le=10_000)] = 5
    baseline_seeds: Annotated[int, Field(ge=1, le=10_000)] | None = None
    equivalence_margin: Annotated[float, Field(gt=0, lt=1)] | None = None
    recipe: Recipe = Recipe()
    grid: Annotated[tuple[GridTable, ...], Field(min_length=1)]
    search: Search | None = None

    @model_validator(mode="after")
    def _checked(self) -> Self:
        for table in self.grid:
            for key, values in table.axes().items():
                if not values:
                    raise ValueError(f"grid: {key} is an empty list; leave the key out or fill it")
                if not all(v is None or isinstance(v, (int, float, str)) for v in values):
                    raise ValueError(f"grid: {key} must be a number, a string or a list of them")
        variants = sum(math.prod(len(v) for v in table.axes().values()) for table in self.grid)
        most = max(self.seeds, self.baseline_seeds or 0)
        if variants * most > MAX_CELLS:
            raise ValueError(
                f"the grid has {variants} variants × {most} seeds = {variants * most:,} cells; "
                f"at most {MAX_CELLS:,} fit into one study: split it"
            )
        if self.search is not None and self.recipe.split == "tutorial":
            raise ValueError(
                'search: the split "tutorial" has no validation images, and a search sees nothing else'
            )
        return self

    def variants(self) -> list[Variant]:
        """The union of the grid's tables, in their order, as they are written."""
        return list(dict.fromkeys(v for table in self.grid for v in table.variants(self.backbone)))

    @property
    def setting(self) -> str:
        """A short hash of what all runs of a study have in common, apart from the images.

        One study under two settings, as with `--set recipe.epochs=1`, is two sets of results.
        """
        recipe = self.recipe.model_dump(mode="json")
        return digest({"recipe": recipe, "backbone": self.backbone, "image_size": self.image_size})

    def seeds_of(self, variant_name: str) -> int:
        """How many seeds a variant gets: `baseline_seeds` for the baseline, else `seeds`."""
        if variant_name == self.baseline and self.baseline_seeds is not None:
            return self.baseline_seeds
        return self.seeds


def run_key(fingerprint: str, recipe: Recipe, content_hash: str, image_size: int, seed: int) -> str:
    """The identity of a run: a hash of exactly what can change its result."""
    return digest(
        {
            "fingerprint": fingerprint,
            "recipe": recipe.model_dump(mode="json"),
            "dataset": content_hash,
            "image_size": image_size,
            "seed": seed,
            "protocol": PROTOCOL,
        }
    )


def stream_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the random stream with that name: common random numbers, by name.

    Variants of one seed share every stream whose name does not mention the variant.
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
