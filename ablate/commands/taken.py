"""What `take` and `fold` share: which trained network is meant, and the files that it is written to."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from ablate.datasets import open_dataset
from ablate.datasets.base import Dataset, Images
from ablate.errors import OptionError, OutputError
from ablate.study import Study
from ablate.system.files.all_or_none import write_all
from ablate.system.messages.pulse import PULSE
from ablate.take.find import Trained, find_trained
from ablate.take.write import Network


@dataclass(frozen=True)
class Meant:
    """The network that is meant, and where to; `seed` None leaves it to the validation accuracy."""

    variant: str
    study: Study
    url: str
    out: Path
    data: Path | None = None
    seed: int | None = None

    def open(self) -> tuple[Dataset, Images]:
        """The data set that it was trained on, and its images."""
        study = self.study
        dataset = open_dataset(study.dataset, self.data, study.image_size, study.data).pinned()
        PULSE.step("reading the data set")
        return dataset, dataset.load()

    def find(self, dataset: Dataset) -> Trained:
        """Its run, with the network."""
        return find_trained(self.variant, self.study, dataset, self.url, self.seed)

    def network(self, trained: Trained, dataset: Dataset, images: Images, about: str) -> Network:
        """The network to be written down, with mean and deviation of what this fold's run was trained on."""
        shown = images.in_fold(trained.run.fold).normalised_by(self.study.recipe.normalize)
        return Network(
            trained.variant, trained.net, tuple(shown.classes), dataset.image_size,
            shown.mean, shown.std, about, self.study.data,
        )  # fmt: skip


def files_of(out: Path, *more: str) -> tuple[Path, ...]:
    """Weights and Python, and a file with each other ending.

    Raises:
        OptionError: `out` names none.
    """
    if out.name in ("", ".."):
        raise OptionError(f"--out {str(out)!r} names no file: give one, such as net.safetensors")
    known = out.suffix in (".safetensors", ".py", ".onnx")
    stem = out.with_suffix("") if known else out
    return tuple(stem.with_name(f"{stem.name}{end}") for end in (".safetensors", ".py", *more))


def check_free(out: Path, files: tuple[Path, ...]) -> None:
    """Nothing that is there already is overwritten.

    Raises:
        OutputError: one of them is there, or is a folder.
    """
    for file in (out, *files):
        try:
            there = file.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue  # who cannot make it says so
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise OutputError(f"{file}: cannot be written: {reason}") from None
        if stat.S_ISDIR(there.st_mode):
            raise OutputError(f"{file}: is a folder: name the file in it, such as {file / 'net'}")
        if file in files:
            raise OutputError(f"{file}: is there already: give another --out, or remove it")


def write_network_files(contents: dict[Path, bytes]) -> None:
    """All of them or none.

    Raises:
        OutputError: one cannot be written.
    """
    try:
        write_all(contents)
    except OSError as error:
        said = f"{next(iter(contents))}: cannot be written: {error.strerror or error}"
        raise OutputError(said) from None
