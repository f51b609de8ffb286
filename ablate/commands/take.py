"""`ablate take`: a trained network as files that need no ablate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ablate.commands.taken import Meant, check_free, files_of, write_network_files
from ablate.errors import OptionError
from ablate.store.reading.runs import StoredRun
from ablate.system.hardware.machine import one_thread
from ablate.system.messages.console import Counting, files_told, own_console, say
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import seed_and_fold
from ablate.system.software.imports import prints_to_stderr
from ablate.take.latency import OneImage, measure_latency
from ablate.take.onnx import export_onnx
from ablate.take.write import built, write_network


@dataclass(frozen=True)
class Asked(Meant):
    """What is to be taken out, and what else is asked for."""

    onnx: bool = False
    latency: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are written: weights, Python, and ONNX if it was asked for.

        Raises:
            OptionError: `out` names none, or the Python file could not be imported.
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
    files = asked.files
    check_free(asked.out, files)
    dataset, images = asked.open()
    PULSE.step("reading the weights")
    with one_thread(), prints_to_stderr():
        trained = asked.find(dataset)
        network = asked.network(trained, dataset, images, _about(trained.run, dataset.label))
        PULSE.step("writing it down")
        written = write_network(network, files[0].name)
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
    write_network_files(dict(zip(files, contents, strict=True)))
    for line in (*said, *files_told(files)):
        say(line)


def _latency(job: OneImage) -> str:
    console = own_console()
    say("measuring how long one image takes, in PyTorch and in ONNX Runtime", console)
    return measure_latency(job, done=Counting(console, "  processes")).told


def _about(run: StoredRun, dataset: str) -> str:
    accuracy = "" if run.val_accuracy is None else f", validation accuracy {run.val_accuracy:.4f}"
    which = seed_and_fold(run.seed, run.fold)
    return f"Its weights are those of run {run.run_key} on {dataset}, {which}{accuracy}."
