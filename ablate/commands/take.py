"""`ablate take`: a trained network as files that need no ablate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ablate.commands.taken_files import check_free, files_of, write_all
from ablate.datasets import open_dataset
from ablate.errors import OptionError
from ablate.store.reading.runs import StoredRun
from ablate.study import Study
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
        return files_of(self.out, *((".onnx",) if self.onnx else ()))


def take_network(asked: Asked) -> None:
    """Write the files, and say what they are.

    Raises:
        OptionError: a latency of what is not exported.
        AblateError: a variant, weights, folder or network for which it cannot be done; nothing is written.
    """
    if asked.latency and not asked.onnx:
        raise OptionError("--latency compares ONNX Runtime with PyTorch: give --onnx too")
    check_free(asked.out, asked.files)
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
    write_all(dict(zip(asked.files, contents, strict=True)))
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
