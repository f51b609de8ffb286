"""What a layout is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ablate.datasets.layouts.parts import ALL

TEST_FRACTION = 0.2
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif", ".avif", ".jp2"),
)
"""What is called so is meant as an image: if it is none, that is a fault and not passed over."""
OTHER_SUFFIXES = (
    *(
        ".txt",
        ".csv",
        ".tsv",
        ".json",
        ".jsonl",
        ".xml",
        ".yaml",
        ".yml",
        ".toml",
        ".ini",
        ".db",
        ".md",
    ),
    *(
        ".html",
        ".htm",
        ".pdf",
        ".py",
        ".ipynb",
        ".mat",
        ".npy",
        ".pkl",
        ".log",
        ".zip",
        ".gz",
        ".tar",
    ),
)
"""What is called so makes no folder a class. Whether a file is an image is decided by its content."""
TABLE_SUFFIXES = (".csv", ".tsv")


@dataclass(frozen=True)
class Asked:
    """What a study says of how its images lie: the keys of `[data]` that are about that."""

    test: str | None = None
    test_fraction: float = TEST_FRACTION
    labels: str | None = None
    group: str | None = None
    folds: int | None = None

    @property
    def how_tested(self) -> str:
        """In words, where no part of a source is for testing."""
        if self.folds is not None:
            return (
                f"{self.folds} folds, drawn by a fixed seed, test each image once (data.folds); training and "
                "validation on the other folds"
            )
        return (
            f"{self.test_fraction:.3g} of each class, drawn by a fixed seed, is to test on "
            "(data.test_fraction)"
        )


AS_IT_LIES = Asked()
"""What a study asks that says nothing of the layout."""


@dataclass(frozen=True)
class Tree:
    """All names in a source, of files and of folders, from its top and without hidden ones.

    `read` gives the bytes of one of its files: of a table of labels, never of an image.
    """

    source: str
    files: tuple[str, ...]
    folders: frozenset[str]
    read: Callable[[str], bytes]


@dataclass(frozen=True)
class Arrangement:
    """Where each image belongs: its name in the source → `train/cat/001.jpg`, or `all/cat/001.jpg` where what
    is tested is yet to be held out.

    `class_folders` are those of the classes, also of empty ones. An image of `unplaced` lies in a part and
    in no class, which is refused. `groups` are those of a table, by place. `told` is what a reader should
    know of the choice; empty where there was none. `certain` says that every file is an image, because a
    table says so, whose `columns` are those. Files that are `loose` lie where no image is expected, and in no
    folder that `told` says is not used.
    """

    places: Mapping[str, str]
    class_folders: frozenset[str] = frozenset()
    unplaced: frozenset[str] = frozenset()
    groups: Mapping[str, str] = field(default_factory=dict)
    told: tuple[str, ...] = ()
    certain: bool = False
    columns: tuple[str, ...] = ()
    loose: frozenset[str] = frozenset()

    @property
    def holds_out(self) -> bool:
        """Whether some of the images are yet to be held out for testing."""
        return next(iter(self.places.values()), "").startswith(f"{ALL}/")


def is_named_as_image(name: str) -> bool:
    """Whether its owner says that it is one."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def may_be_image(name: str) -> bool:
    """Whether a file may be one, as far as its name says."""
    return not name.lower().endswith(OTHER_SUFFIXES)


def listed(names: Iterable[str], most: int = 8) -> str:
    """`a, b, …` for a line."""
    every = list(names)
    return ", ".join(every[:most]) + (", …" if len(every) > most else "")
