"""Images that a dataset has twice, and what a look at its files tells besides."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Repeats:
    """`tested_in_training` test images are also training or validation images; `in_two_classes` images of
    any part stand under another label too. `distinct_train` and `distinct_test` count images that differ.
    """

    tested_in_training: int
    in_two_classes: int
    distinct_train: int
    distinct_test: int

    @property
    def dead(self) -> bool:
        """Whether all images of a part are the same one, from which nothing can be learnt or told."""
        return self.distinct_train == 1 or self.distinct_test == 1


@dataclass(frozen=True)
class Scanned:
    """What a look at files has told: how many of which kind were passed over, how many images EXIF says are
    turned, and which files are equal to the byte.
    """

    passed_over: Mapping[str, int] = field(default_factory=dict)
    turned: int = 0
    repeats: Repeats | None = None


def find_repeats(
    train: Sequence[Hashable],
    train_labels: Iterable[int],
    test: Sequence[Hashable],
    test_labels: Iterable[int],
    val: Sequence[Hashable] = (),
    val_labels: Iterable[int] = (),
    *,
    folds: Iterable[int] | None = None,
) -> Repeats:
    """Which images are equal, known by hashes of what they are. With `folds`, in which images of `train` are
    tested, one that two folds have is trained on and tested.
    """
    labels: dict[Hashable, set[int]] = {}
    for parts in ((train, train_labels), (test, test_labels), (val, val_labels)):
        for image, label in zip(*parts, strict=True):
            labels.setdefault(image, set()).add(label)
    if folds is not None:
        return _over_folds(train, folds, labels)
    trained = set(train)
    seen = trained | set(val)
    return Repeats(
        tested_in_training=sum(image in seen for image in test),
        in_two_classes=sum(len(labels[image]) > 1 for part in (train, test, val) for image in part),
        distinct_train=len(trained),
        distinct_test=len(set(test)),
    )


def _over_folds(
    images: Sequence[Hashable], folds: Iterable[int], labels: Mapping[Hashable, set[int]]
) -> Repeats:
    tested_in: dict[Hashable, set[int]] = {}
    for image, fold in zip(images, folds, strict=True):
        tested_in.setdefault(image, set()).add(fold)
    return Repeats(
        tested_in_training=sum(len(tested_in[image]) > 1 for image in images),
        in_two_classes=sum(len(labels[image]) > 1 for image in images),
        distinct_train=len(tested_in),
        distinct_test=len(tested_in),
    )
