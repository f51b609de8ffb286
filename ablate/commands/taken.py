"""What `take` and `fold` share: which trained network is meant, and the files that it is written to."""

from __future__ import annotations

import ast
import keyword
import stat
import sys
import sysconfig
import unicodedata
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from ablate.datasets import open_dataset
from ablate.datasets.base import Dataset, Images
from ablate.errors import OptionError, OutputError
from ablate.study import Study
from ablate.system.files.all_or_none import write_all
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import printable
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
        OptionError: `out` names none, or the Python file could not be imported by its name.
    """
    if out.name in ("", ".."):
        raise OptionError(f"--out {str(out)!r} names no file: give one, such as net.safetensors")
    known = out.suffix in (".safetensors", ".py", ".onnx")
    stem = out.with_suffix("") if known else out
    _check_name(stem.name)
    return tuple(stem.with_name(f"{stem.name}{end}") for end in (".safetensors", ".py", *more))


def _check_name(name: str) -> None:
    """
    Raises:
        OptionError: no `import` finds a file of this name, or one finds it in place of another module.
    """
    plain = unicodedata.normalize("NFKC", name) == name  # as Python reads a name
    if not (name.isidentifier() and plain) or keyword.iskeyword(name):
        raise OptionError(
            f"--out: {printable(name)}.py cannot be imported: give letters, digits and _ alone, no digit "
            "first and no word of Python's, such as net.safetensors"
        )
    installed = {sysconfig.get_path(each) for each in ("purelib", "platlib")}
    loaded = {*sys.stdlib_module_names, *sys.modules}
    if name in loaded or PathFinder.find_spec(name, sorted(installed)) is not None:
        raise _hiding(name)


def _hiding(name: str) -> OptionError:
    return OptionError(
        f"--out: {name}.py would stand in the place of the module {name}, which Python, a package that is "
        f"installed or code of yours has: give another name, such as my_{name}"
    )


def _check_imports(name: str, source: str) -> None:
    """
    Raises:
        OptionError: a file of this name stands in the place of a module that it imports.
    """
    for node in ast.walk(ast.parse(source)):
        found = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            found = [str(node.module)]
        if name in {each.partition(".")[0] for each in found}:
            raise _hiding(name)


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
        OptionError: the Python file stands in the place of a module that it imports.
        OutputError: one cannot be written.
    """
    for file, content in contents.items():
        if file.suffix == ".py":
            _check_imports(file.stem, content.decode())
    try:
        write_all(contents)
    except OSError as error:
        said = f"{next(iter(contents))}: cannot be written: {error.strerror or error}"
        raise OutputError(said) from None
