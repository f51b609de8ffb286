"""`ablate take`: a trained network as files that need no ablate."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from ablate.datasets import open_dataset
from ablate.errors import OptionError, OutputError
from ablate.store.reading.runs import StoredRun
from ablate.study import Study
from ablate.system.files.atomic import write_whole
from ablate.system.hardware.machine import one_thread
from ablate.system.messages.console import Counting, files_told, own_console, say
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import seed_and_fold
from ablate.system.software.imports import prints_to_stderr
from ablate.take.find import find_trained
from ablate.take.latency import OneImage, measure_latency
from ablate.take.onnx import export_onnx
from ablate.take.write import Network, built, write_network


@dataclass(frozen=True)
class Asked:
    """What is to be taken out, and where to; `seed` None leaves it to the validation accuracy."""

    variant: str
    study: Study
    url: str
    out: Path
    data: Path | None = None
    seed: int | None = None
    onnx: bool = False
    latency: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are written: weights, Python, and ONNX if it was asked for.

        Raises:
            OptionError: `out` names none.
        """
        ends = (".safetensors", ".py", *((".onnx",) if self.onnx else ()))
        if self.out.name in ("", ".."):
            raise OptionError(
                f"--out {str(self.out)!r} names no file: give one, such as net.safetensors"
            )
        known = self.out.suffix in (".safetensors", ".py", ".onnx")
        stem = self.out.with_suffix("") if known else self.out
        return tuple(stem.with_name(f"{stem.name}{end}") for end in ends)


def take_network(asked: Asked) -> None:
    """Write the files, and say what they are.

    Raises:
        OptionError: a latency of what is not exported.
        AblateError: a variant, weights, folder or network for which it cannot be done; nothing is written.
    """
    if asked.latency and not asked.onnx:
        raise OptionError("--latency compares ONNX Runtime with PyTorch: give --onnx too")
    _check_free(asked)
    study = asked.study
    dataset = open_dataset(study.dataset, asked.data, study.image_size, study.data).pinned()
    PULSE.step("reading the data set")
    images = dataset.load()
    PULSE.step("reading the weights")
    with one_thread(), prints_to_stderr():
        trained = find_trained(asked.variant, study, dataset, asked.url, asked.seed)
        # Mean and deviation are those of what this fold's run was trained on.
        shown = images.in_fold(trained.run.fold).normalised_by(study.recipe.normalize)
        network = Network(
            trained.variant, trained.net, tuple(shown.classes), dataset.image_size,
            shown.mean, shown.std, _about(trained.run, dataset.label), study.data,
        )  # fmt: skip
        PULSE.step("writing it down")
        written = write_network(network, asked.files[0].name)
        contents = [written.weights, written.source.encode()]
        run = trained.run
        which = seed_and_fold(run.seed, run.fold)
        said = [f"{trained.variant.name}: run {run.run_key}, {which}"]
        if asked.onnx:
            PULSE.step("exporting to ONNX")
            content, difference = export_onnx(
                built(written), dataset.image_size, trained.variant.name
            )
            contents.append(content)
            said.append(f"ONNX Runtime's logits differ by at most {difference:.2g}")
        if asked.latency:
            said.append(_latency(OneImage(written, contents[-1], dataset.image_size)))
    _write(dict(zip(asked.files, contents, strict=True)))
    for line in (*said, *files_told(asked.files)):
        say(line)


def _latency(job: OneImage) -> str:
    console = own_console()
    say("measuring how long one image takes, in PyTorch and in ONNX Runtime", console)
    return measure_latency(job, done=Counting(console, "  processes")).told


def _about(run: StoredRun, dataset: str) -> str:
    accuracy = "" if run.val_accuracy is None else f", validation accuracy {run.val_accuracy:.4f}"
    which = seed_and_fold(run.seed, run.fold)
    return f"Its weights are those of run {run.run_key} on {dataset}, {which}{accuracy}."


def _check_free(asked: Asked) -> None:
    for file in (asked.out, *asked.files):
        try:
            there = file.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue  # who cannot make it says so
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise OutputError(f"{file}: cannot be written: {reason}") from None
        if stat.S_ISDIR(there.st_mode):
            raise OutputError(f"{file}: is a folder: name the file in it, such as {file / 'net'}")
        if file in asked.files:
            raise OutputError(f"{file}: is there already: give another --out, or remove it")


def _write(contents: dict[Path, bytes]) -> None:
    """All of them or none."""
    written: list[Path] = []
    for path, content in contents.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
            written.append(path)
        except OSError as error:
            for each in written:
                each.unlink(missing_ok=True)
            raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
