"""`ablate fold`: a trained network without attention, where a constant would do in its place."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ablate.attention import complete
from ablate.commands.taken import Meant, check_free, files_of, write_network_files
from ablate.errors import OptionError, StudyError
from ablate.stats import DEFAULT_MARGIN
from ablate.stats.words import points, size, span
from ablate.study import Variant
from ablate.system.hardware.machine import find_machine, one_thread
from ablate.system.hardware.precision import forbid_tf32
from ablate.system.messages.console import Counting, files_told, own_console, say
from ablate.system.messages.pulse import PULSE
from ablate.system.messages.text import plural, seed_and_fold
from ablate.system.software.imports import prints_to_stderr
from ablate.take.absorb import Absorbed, absorb
from ablate.take.constant import (
    Constant,
    Right,
    Trial,
    attention_places,
    change,
    chosen,
    fit_constants,
    in_place,
    try_constants,
)
from ablate.take.find import Trained
from ablate.take.write import write_network
from ablate.train.data import Data, Part, eval_batches, load_data

FITTED_IMAGES = 2048
"""Training images from which constants are fitted."""
LARGEST_ERROR = 1e-3
"""Of logits, as a share of the largest one: what multiplying constants into weights may change."""


@dataclass(frozen=True)
class Asked(Meant):
    """What is to be folded; `margin` is what accuracy may be lost, a share of 1; of the study unless set."""

    margin: float | None = None
    device: str = "auto"


def fold_network(asked: Asked) -> None:
    """Try constants, say what they change, and write the network that has them in its weights.

    Raises:
        AblateError: a variant, weights, data or network for which it cannot be done; nothing is written.
    """
    files = files_of(asked.out)
    check_free(asked.out, files)
    study, (dataset, images) = asked.study, asked.open()
    PULSE.step("reading the weights")
    with one_thread(), prints_to_stderr():
        trained = asked.find(dataset)
    run, device = trained.run, find_machine(asked.device).device
    forbid_tf32()  # what is written is used in fp32
    net = trained.net.to(device).eval()
    if not attention_places(net):
        raise OptionError(f"{trained.variant.name} has no attention that could be folded")
    data = load_data(dataset, study.recipe, device, run.fold)
    if data.val is None:
        raise StudyError('fold needs validation images to decide by: split = "tutorial" has none')
    margin = asked.margin or study.equivalence_margin or DEFAULT_MARGIN
    _check_margin(margin, len(data.val))
    say(f"{trained.variant.name}: run {run.run_key}, {seed_and_fold(run.seed, run.fold)}")
    PULSE.step("fitting constants")
    constants = fit_constants(net, (shown for shown, _ in eval_batches(data, _some(data.train))))
    together = _decided(net, constants, data, data.val, margin)
    if together is None:
        say("at no place is it shown that a constant would do: nothing is written")
        return
    tested, absorbed = _fold(trained, net, chosen(constants, together).values(), data)
    rest = attention_places(net)
    left = trained.variant if rest else complete(Variant(trained.variant.backbone))
    about = _about(trained, dataset.label, absorbed)
    network = asked.network(replace(trained, variant=left), dataset, images, about)
    PULSE.step("writing it down")
    with one_thread(), prints_to_stderr():
        written = write_network(network, files[0].name)
    write_network_files(dict(zip(files, (written.weights, written.source.encode()), strict=True)))
    stays = [f"{_place(path)}: attention stays" for path in rest]
    for line in (*map(_where, absorbed), *stays, tested, *files_told(files)):
        say(line)


def _check_margin(margin: float, images: int) -> None:
    """
    Raises:
        OptionError: so few images cannot show that no more is lost, even where no answer changes.
    """
    least = -change(*[np.ones(images, dtype=bool)] * 2).low
    if least >= margin:
        raise OptionError(
            f"{images:,} validation images cannot show that less than {size(margin)} points are lost: give "
            f"--margin {math.ceil(1000 * least + 1) / 1000:g} or more"
        )


def _some(part: Part) -> Part:
    rows = np.random.default_rng(0).permutation(len(part))[:FITTED_IMAGES]
    return part.of(np.sort(rows))


def _decided(
    net: nn.Module, constants: list[Constant], data: Data, val: Part, margin: float
) -> Trial | None:
    """The constants that would do together, by the validation images; a line for each place."""
    seen = Counting(own_console(), "  constants tried")
    alone, together = try_constants(net, constants, lambda: answers(net, data, val), margin, seen)
    say(
        f"{len(val):,} validation images; a constant would do that loses less than {size(margin)} points"
    )
    for constant, trial in zip(constants, alone, strict=True):
        word = "would do" if trial.would_do(margin) else "not shown that it would do"
        say(
            f"  {_place(constant.path)}: differs from image to image by {constant.varies:.3f}; a constant "
            f"there {_changed(trial)}: {word}"
        )
    if together is not None and len(together.paths) > 1:
        say(f"  {', '.join(map(_place, together.paths))} together: {_changed(together)}: would do")
    return together


def _fold(
    trained: Trained, net: nn.Module, given: Iterable[Constant], data: Data
) -> tuple[str, list[Absorbed]]:
    """Put the constants into the network's weights, and say what that is on the test images."""
    PULSE.step("testing it")
    constants, before = list(given), answers(net, data, data.test)
    first, _ = next(eval_batches(data, data.test))
    with in_place(net, constants), torch.inference_mode():
        expected = net(first)
    absorbed = absorb(net, constants, trained.variant.name)
    with torch.inference_mode():
        error = float((net(first) - expected).abs().max() / expected.abs().max())
    if not error <= LARGEST_ERROR:
        raise StudyError(
            f"{trained.variant.name} cannot be folded: with constants in its weights its logits differ by "
            f"{error:.2g} of the largest one"
        )
    after = answers(net, data, data.test)
    found = change(before, after)
    told = (
        f"on {len(before):,} test images, in fp32: {100 * before.mean():.2f} % as trained, "
        f"{100 * after.mean():.2f} % folded "
        f"({points(found.difference)} points, {span(found.low, found.high)}); "
        f"{plural(found.wrong, 'image')} right before and wrong now, {found.right:,} the other way round"
    )
    return told, absorbed


def answers(net: nn.Module, data: Data, part: Part) -> Right:
    """Which images of a part a network answers right, in fp32."""
    with torch.inference_mode():
        found = [net(images).argmax(dim=1) == labels for images, labels in eval_batches(data, part)]
    right: Right = torch.cat(found).cpu().numpy()
    return right


def _changed(trial: Trial) -> str:
    found = trial.change
    return f"changes accuracy by {points(found.difference)} points ({span(found.low, found.high)})"


def _where(absorbed: Absorbed) -> str:
    place = _place(absorbed.path)
    if absorbed.into:
        return f"{place}: its constant is in the weights of {', '.join(absorbed.into)}"
    return f"{place}: a 1×1 convolution of each channel is left, as no layer beside it can take its constant"


def _place(path: str) -> str:
    """Where attention is, without the name that it has there."""
    return path.rpartition(".")[0] or path


def _about(trained: Trained, dataset: str, absorbed: list[Absorbed]) -> str:
    run, places = trained.run, ", ".join(_place(each.path) for each in absorbed)
    which = seed_and_fold(run.seed, run.fold)
    return (
        f"Folded: {trained.variant.name} of run {run.run_key} on {dataset}, {which}, with a constant in "
        f"place of attention at {places}."
    )
