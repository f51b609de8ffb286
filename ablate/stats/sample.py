"""Sample: what the finished runs of one variant gave, by seed."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ablate.errors import OptionError
from ablate.stats.intervals import finite

Bits = NDArray[np.bool_]
"""Whether each test image was classified correctly, in the order of the test set."""


class PackedBits(Mapping[int, Bits]):
    """Bits by seed as `numpy.packbits` has them, unpacked when they are asked for: of a hundred thousand runs
    they take a gigabyte otherwise.
    """

    def __init__(self, packed: Mapping[int, bytes], images: int) -> None:
        self._packed, self.images = packed, images

    def __getitem__(self, seed: int) -> Bits:
        bits: Bits = self.at([seed])[0]
        return bits

    def __iter__(self) -> Iterator[int]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def at(self, seeds: Sequence[int]) -> Bits:
        """Shape: (seeds, images)."""
        joined = np.frombuffer(b"".join(self._packed[seed] for seed in seeds), dtype=np.uint8)
        rows = joined.reshape(len(seeds), -1)
        bits: Bits = np.unpackbits(rows, axis=1, count=self.images).view(np.bool_)
        return bits

    def only(self, seeds: Container[int]) -> PackedBits:
        """The part of these seeds."""
        kept = {seed: each for seed, each in self._packed.items() if seed in seeds}
        return PackedBits(kept, self.images)


@dataclass(frozen=True)
class Predicted:
    """Which class each run of a variant said that each test image is of, by seed, for a metric that these
    are enough for (`ablate.stats.metrics`).

    Shape: labels and each of `by_seed` (images,), whole numbers from 0.
    """

    metric: str
    labels: NDArray[np.int64]
    by_seed: Mapping[int, NDArray[np.int64]]

    def only(self, seeds: Container[int]) -> Predicted:
        """The part of these seeds."""
        kept = {seed: each for seed, each in self.by_seed.items() if seed in seeds}
        return replace(self, by_seed=kept)


@dataclass(frozen=True)
class Sample:
    """Scores by seed (accuracy as a fraction) and, where they are known, the bits they are means of, or
    of another metric what was predicted.

    All bits of a comparison are about the same test images in the same order. `images` is their
    number where only the scores are known: it says how fine the scores are. `picked_by` says that a
    search chose by these seeds, and when to stop: they are lucky or unlucky, and bring no verdict. Of
    `folds` > 1 a seed's score and bits are those of its folds together: every image is tested once. Without
    `paired` equal seeds of two samples have nothing in common, as nobody says of runs from elsewhere that
    they have: they are never taken as blocks. Scores lie within the `bounds` of their metric.
    """

    scores: Mapping[int, float]
    correct: Mapping[int, Bits] = field(default_factory=dict)
    images: int | None = None
    predicted: Predicted | None = None
    picked_by: bool = False
    folds: int = 1
    paired: bool = True
    bounds: tuple[float, float] = (0.0, 1.0)

    @classmethod
    def of_bits(cls, correct: Mapping[int, Bits]) -> Self:
        """A sample whose scores are the accuracies of its bits."""
        return cls({seed: float(np.mean(bits)) for seed, bits in correct.items()}, correct)

    @classmethod
    def of_values(cls, values: Sequence[float]) -> Self:
        """A sample of scores for the seeds 1, 2, 3, …"""
        return cls(dict(enumerate(values, 1)))

    def __post_init__(self) -> None:
        finite(list(self.scores.values()))
        if not self.correct.keys() <= self.scores.keys():
            raise OptionError("a seed has bits and no score: give the score of every seed")

    @property
    def seeds(self) -> frozenset[int]:
        """The seeds of the finished runs."""
        return frozenset(self.scores)

    @property
    def mean(self) -> float | None:
        """The mean score; None without a run."""
        return float(np.mean(list(self.scores.values()))) if self.scores else None

    @property
    def overlap(self) -> float:
        """What trainings share because folds overlap in what they train on: with k folds 1 / (k − 1), the
        images tested for each one trained on, by which the variance of n seeds counts 1 / n + 1 / (k − 1)
        times; 0 without folds.

        Source: Nadeau and Bengio, Machine Learning 52 (2003).
        """
        return 1 / (self.folds - 1) if self.folds > 1 else 0.0

    @property
    def sizes(self) -> frozenset[int]:
        """How many images its bits are of: one number, where all is well."""
        if isinstance(self.correct, PackedBits):
            return frozenset({self.correct.images} if len(self.correct) else ())
        return frozenset(map(len, self.correct.values()))

    @property
    def has_bits(self) -> bool:
        """Whether every run has its bits."""
        return bool(self.scores) and self.correct.keys() == self.scores.keys()

    def only(self, seeds: Container[int]) -> Sample:
        """The part of these seeds."""
        scores = {seed: score for seed, score in self.scores.items() if seed in seeds}
        bits: Mapping[int, Bits]
        if isinstance(self.correct, PackedBits):
            bits = self.correct.only(seeds)
        else:
            bits = {seed: each for seed, each in self.correct.items() if seed in seeds}
        said = self.predicted.only(seeds) if self.predicted is not None else None
        return replace(self, scores=scores, correct=bits, predicted=said)

    def at(self, seeds: Sequence[int]) -> NDArray[np.float64]:
        """Scores, shape (seeds,)."""
        return np.array([self.scores[seed] for seed in seeds])

    def bits_at(self, seeds: Sequence[int]) -> Bits:
        """Bits, shape (seeds, images)."""
        if isinstance(self.correct, PackedBits):
            return self.correct.at(seeds)
        return np.stack([np.asarray(self.correct[seed], dtype=np.bool_) for seed in seeds])
