"""A user's trainer tried before a plan: its first two epochs and its last on a few images of noise, and one
after a stop.
"""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import torch

from ablate.errors import AblateError, StudyError
from ablate.identity.sources import is_users_code
from ablate.measure.step_guards import SEED, StepAsked
from ablate.model import build
from ablate.result import Epoch
from ablate.result.named import NamedFunction
from ablate.system.messages.text import one_line
from ablate.system.process.randomness import restored
from ablate.train.checkpoint import pack, unpack
from ablate.train.cohort import Member
from ablate.train.data import Data, Part
from ablate.train.own_loop import train_own
from ablate.train.own_trainer import OwnTrainer, prove_trainer
from ablate.train.step import Trainer, make_trainer

FEW = 8
"""Images of a batch: what whole batches break, the training step has shown."""
GREY = (0.5, 0.5, 0.5)
SPREAD = (0.3, 0.3, 0.3)


def rehearse(named: NamedFunction, asked: StepAsked) -> None:
    """Let the trainer train a network to its end, in up to three epochs of a small batch and a smaller one,
    and go on from the first as after an interruption. Nothing of it stays.

    Raises:
        StudyError: it fails, in one line that says where, or does not keep to what a trainer is to do.
    """
    trainer, _ = prove_trainer(named)
    few = asked.recipe.model_copy(update={"batch_size": min(asked.recipe.batch_size, FEW)})
    asked = replace(asked, recipe=few, batch_sizes=(few.batch_size, 2))
    data = _noise(asked)
    with restored():
        member, content = Member(_network(asked)), None
        for number, _ in enumerate(_epochs(trainer, member, data, asked)):
            if number == 0 < asked.recipe.epochs - 1:
                with suppress(StudyError):  # without checkpoints: a run says so while it is trained
                    content = pack(member, {})
        if content is not None:
            with closing(_epochs(trainer, _resumed(trainer, content, asked), data, asked)) as rest:
                next(rest)


def _resumed(trainer: OwnTrainer, content: bytes, asked: StepAsked) -> Member:
    try:
        resumed = unpack(content, _network(asked), {})
    except Exception as error:
        raise StudyError(
            f"{trainer.called} leaves a network that no checkpoint brings back: {one_line(error)}; what it "
            "adds goes into a module of its own, run.keep(head=head)"
        ) from error
    if not isinstance(resumed, Member):
        raise TypeError("a checkpoint of this very process is another one's")
    return resumed


def _network(asked: StepAsked) -> Trainer:
    net = build(asked.variant, asked.classes, asked.image_size, SEED)
    return make_trainer(net, asked.recipe, asked.machine.device, asked.machine.precision)


def _epochs(
    trainer: OwnTrainer, member: Member, data: Data, asked: StepAsked
) -> Generator[None, None, None]:
    steps = train_own(member, trainer, data, asked.recipe, SEED, asked.classes, rehearsed=True)
    with closing(steps):
        while True:
            try:
                [(_, ended)] = next(steps)
            except StopIteration:
                return
            except AblateError:
                raise
            except Exception as error:
                raise StudyError(
                    f"{trainer.called} fails with {asked.variant.name}: {one_line(error)}{_place(error)}"
                ) from error
            if not isinstance(ended, Epoch):
                raise StudyError(
                    f"{trainer.called} with {asked.variant.name}: {ended.error}, of images of noise "
                    "(--no-probe plans without trying it)"
                )
            yield


def _place(error: Exception) -> str:
    """In which line of the user's that happened: the innermost that is neither ours nor a library's."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    found = next((f for f in frames if is_users_code(Path(f.filename))), None)
    return "" if found is None else f" ({Path(found.filename).name}, line {found.lineno})"


def _noise(asked: StepAsked) -> Data:
    """As many images as both batches have, or one of each class."""
    side, device = asked.image_size, asked.machine.device
    count = max(sum(asked.batch_sizes), asked.classes)
    generator = torch.Generator().manual_seed(SEED)
    images = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
    labels = torch.tensor(list(itertools.islice(itertools.cycle(range(asked.classes)), count)))
    part = Part(images.to(device), labels.to(device))
    leaked = asked.recipe.split == "tutorial"
    return Data(part, None if leaked else part, part, GREY, SPREAD)
