"""Recipe: the `[recipe]` table of a study file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ablate.study.augments import plainly
from ablate.study.base import StudyTable

Split = Literal["validation", "tutorial"]
Augments = Annotated[tuple[str, ...], AfterValidator(plainly)]
Beta = Annotated[float, Field(ge=0, lt=1)]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Globs = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed)]
"""Globs over the paths of modules; one alone may stand without a list."""
Rate = Annotated[float, Field(gt=0, le=1e6)]


def _flat(value: Any) -> Any:
    """`layer1.0 = 0.1` without quotes is a table in a table to TOML."""
    if not isinstance(value, Mapping):
        return value
    flat: dict[Any, Any] = {}
    for key, each in value.items():
        inner = _flat(each)
        within = isinstance(inner, dict) and inner
        flat |= {f"{key}.{name}": rate for name, rate in inner.items()} if within else {key: inner}
    return flat


Rates = Annotated[dict[str, Rate], BeforeValidator(_flat)]
"""Factors by globs over the paths of modules."""


class Phase(StudyTable):
    """Some epochs of a run, in which parts of the backbone are not trained."""

    epochs: Annotated[int, Field(ge=1, le=100_000)]
    freeze: Globs = ()


def _length(phase: Any) -> int | None:
    """How many epochs something has that is to be a phase, None if it does not say."""
    length = phase.get("epochs") if isinstance(phase, Mapping) else getattr(phase, "epochs", None)
    return length if type(length) is int else None


_OF_IMAGES = ("batch_size", "augment", "precision", "split", "validation_fraction", "normalize")
"""The keys that say which images there are in a batch, and in which number format they are computed."""


class Recipe(StudyTable):
    """Everything about training that can change the number.

    `precision = "amp"` is bf16 where the hardware has it, else fp16 with a scaler on a GPU, else fp32.
    `split = "tutorial"` trains on all training images and lets the schedule see the test set.

    `normalize` says whose mean and deviation images are brought to: the training images', or ImageNet's, as
    networks that were trained on it expect.

    None leaves a setting to the optimizer. A step is taken on `accumulate` batches of `batch_size`.

    `trainer` is a function of the user's that trains in place of our loop, `mypkg.train:distil(alpha=0.5)`:
    of the other keys there are those of the images then, `TRAINERS_KEYS`.

    A new key also gets a line in `PROTOCOL_DEFAULTS`, at the value that means "as before".
    """

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 50
    batch_size: Annotated[int, Field(ge=2, le=1_000_000)] = 64
    optimizer: str = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    schedule: str = "plateau"
    augment: Augments = ("crop", "flip", "color", "rotate")
    precision: Literal["amp", "fp32"] = "amp"
    split: Split = "validation"
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    weight_decay: Annotated[float, Field(ge=0, le=10)] | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    nesterov: bool | None = None
    betas: tuple[Beta, Beta] | None = None
    no_decay_on: Literal["norm_and_bias"] | None = None
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    accumulate: Annotated[int, Field(ge=1, le=1024)] = 1
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Literal["balanced"] | None = None
    mixup_alpha: Annotated[float, Field(ge=0, le=100)] = 0.0
    cutmix_alpha: Annotated[float, Field(ge=0, le=100)] = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    normalize: Literal["dataset", "imagenet"] = "dataset"
    rates: Rates = Field(default={})
    attention_rate: Rate = 1.0
    freeze: Globs = ()
    phases: tuple[Phase, ...] = ()
    trainer: Annotated[str, Field(min_length=1, max_length=1000)] | None = None

    @property
    def first_epochs(self) -> tuple[int, ...]:
        """The epochs, counted from 1, with which phases begin: 1 alone where there are none."""
        ends = [sum(phase.epochs for phase in self.phases[:n]) for n in range(len(self.phases))]
        return tuple(end + 1 for end in ends) or (1,)

    def frozen_in(self, epoch: int) -> tuple[str, ...]:
        """Globs of what is not trained in an epoch, counted from 1."""
        now = [
            p for p, first in zip(self.phases, self.first_epochs, strict=False) if first <= epoch
        ]
        return tuple(dict.fromkeys((*self.freeze, *(now[-1].freeze if now else ()))))

    @property
    def unfrozen(self) -> Recipe:
        """The same with everything trained, at one rate: for what a network can do at all."""
        return self.model_copy(
            update={"freeze": (), "phases": (), "rates": {}, "attention_rate": 1.0}
        )

    @property
    def plain_step(self) -> Recipe:
        """The same images in the same batches, by the step that costs are measured with, whatever the recipe:
        Adam, everything trained, on one batch. A cost is then that of a network, and the same in every study.
        """
        return Recipe().model_copy(update={name: getattr(self, name) for name in _OF_IMAGES})

    @property
    def mixes(self) -> bool:
        """Whether the images of a batch are mixed in pairs."""
        return self.mixup_alpha > 0 or self.cutmix_alpha > 0

    @property
    def step_images(self) -> int:
        """How many images one step of the optimizer is taken on."""
        return self.batch_size * self.accumulate

    @model_validator(mode="before")
    @classmethod
    def _as_long_as_its_phases(cls, given: Any) -> Any:
        """`epochs` is the sum of the phases' and may be left out."""
        phases = given.get("phases") if isinstance(given, Mapping) else None
        if not phases or not isinstance(phases, (list, tuple)):
            return given  # the fields say what is wrong
        lengths = [length for phase in phases if (length := _length(phase)) is not None]
        if len(lengths) != len(phases):
            return given
        if given.get("epochs", sum(lengths)) != sum(lengths):
            raise ValueError(
                f"phases have {sum(lengths)} epochs and epochs = {given['epochs']}: leave out recipe.epochs"
            )
        return {**given, "epochs": sum(lengths)}

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if self.mixes and self.class_weights:
            raise ValueError(
                "class_weights are of whole classes, and mixup_alpha and cutmix_alpha mix them: leave "
                "one of them out"
            )
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs = {self.warmup_epochs:g} leaves nothing of {self.epochs} epochs: "
                "make it smaller"
            )
        if self.nesterov and self.momentum == 0:
            raise ValueError(
                "nesterov is a kind of momentum, and momentum is 0: leave one of them out"
            )
        if self.trainer is not None:
            self._check_left_to(self.trainer)
        return self

    def _check_left_to(self, trainer: str) -> None:
        """Raises:
        ValueError: a key is set that only our own loop honours.
        """
        values = self.model_dump(mode="json")
        ours = [
            key
            for key in values
            if key not in TRAINERS_KEYS
            and (key in self.model_fields_set or values[key] != PROTOCOL_DEFAULTS[key])
        ]
        if ours:
            name = trainer.partition("(")[0]
            raise ValueError(
                f"{ours[0]} is a key of our own training loop, and trainer = {name!r} takes its place: leave "
                f"it out, or make it an option of yours: {name}({ours[0]}=…)"
            )


PROTOCOL_DEFAULTS: dict[str, Any] = {
    "epochs": 50,
    "batch_size": 64,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "schedule": "plateau",
    "augment": ["crop", "flip", "color", "rotate"],
    "precision": "amp",
    "split": "validation",
    "validation_fraction": 0.1,
    "weight_decay": None,
    "momentum": None,
    "nesterov": None,
    "betas": None,
    "no_decay_on": None,
    "clip_norm": None,
    "accumulate": 1,
    "ema_decay": None,
    "warmup_epochs": 0.0,
    "label_smoothing": 0.0,
    "class_weights": None,
    "mixup_alpha": 0.0,
    "cutmix_alpha": 0.0,
    "dropout": None,
    "normalize": "dataset",
    "rates": {},
    "attention_rate": 1.0,
    "freeze": [],
    "phases": [],
    "trainer": None,
}
"""What a run's key leaves out (`keys.py`). A value here never changes: it would change every key."""

STORED_ALWAYS = tuple(PROTOCOL_DEFAULTS)[:9]
"""The keys that are stored with every run; a later one is where it is set, as in runs from before it."""

OPTIMIZER_KEYS: dict[str, tuple[str, ...]] = {
    "adam": ("weight_decay", "betas", "no_decay_on"),
    "adamw": ("weight_decay", "betas", "no_decay_on"),
    "sgd": ("weight_decay", "momentum", "nesterov", "no_decay_on"),
    "muon": ("weight_decay", "momentum", "nesterov", "betas", "no_decay_on"),
}
"""The keys of a recipe that each optimizer honours; another one is refused, not passed over."""

TRAINERS_KEYS = frozenset({
    "trainer", "epochs", "batch_size", "augment", "normalize", "precision", "split", "validation_fraction",
})  # fmt: skip
"""The keys of a recipe that a user's own trainer is given: how long, on which images, in which precision."""

NOT_OF_A_STEP = {
    "epochs", "augment", "normalize", "split", "validation_fraction", "schedule", "warmup_epochs", "rates",
    "attention_rate", "freeze", "phases", "trainer",
}  # fmt: skip
"""Keys of a recipe that change no step's kind."""
