"""Networks compiled ahead of a cohort, in processes side by side.

A cohort compiles its networks one after the other, in one process, while the device and all other cores wait.
What a compiler writes stays on disk, found again by the same network under the same conditions: so processes
that do nothing else have it written first, and the cohort reads it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psutil
import torch

from ablate.datasets.base import Dataset
from ablate.execute import Died, Done
from ablate.execute.local import LocalExecutor
from ablate.study import Recipe, Variant
from ablate.system.hardware.machine import Machine, prepare_machine
from ablate.system.messages.text import duration
from ablate.train.batch import empty_labels
from ablate.train.graphs import compile_network
from ablate.tune.stepped import make_members

FEWEST = 4
"""Networks: to start a process takes as long as to compile one."""
PROCESS_BYTES = 4 * 2**30
"""That a process may take of the machine's memory, and of the device's: torch, its compiler, a network."""
MOST_SECONDS = 600.0
"""After that the cohort goes on with what there is: some compilers hang."""


_TRIED: set[str] = set()
"""What this process has had compiled."""


@dataclass
class Compiled:
    """What came of it: by how many processes, of how many networks nothing, and why of the first of these."""

    processes: int = 0
    failed: int = 0
    reason: str | None = None

    def count(self, event: Done | Died) -> None:
        """One network more."""
        said = event.reason if isinstance(event, Died) else event.error
        if said is not None:
            self.failed += 1
            self.reason = self.reason or said.strip().splitlines()[-1]


@dataclass(frozen=True)
class CompileNetwork:
    """A job: take one step of a network as a cohort's would be compiled, and one more for each phase in which
    other parts of it are frozen: that is other code. Yields nothing.
    """

    variant: Variant
    recipe: Recipe
    dataset: Dataset
    device: str

    def __call__(self) -> Iterator[None]:
        from torch._inductor import config  # noqa: PLC0415 - takes a second to load

        config.compile_threads = 1  # processes enough are at work already
        machine = prepare_machine(self.device, self.recipe.precision)
        # Trying every kernel of a convolution would take gigabytes in each process, and changes no code.
        torch.backends.cudnn.benchmark = False
        device, recipe = machine.device, self.recipe
        [member] = make_members(
            (self.variant,), recipe, self.dataset, device, machine.precision, {}
        )
        count, size = recipe.step_images, self.dataset.image_size
        images = torch.zeros(count, size, size, 3, device=device).permute(0, 3, 1, 2)
        batch = images, empty_labels(count, recipe, device)
        trainer = member.trainer
        forward = compile_network(trainer.net)
        for epoch in recipe.first_epochs:
            trainer.begin(epoch)
            trainer.step(batch, forward)
        return
        yield


def compile_ahead(
    networks: Sequence[Variant],
    recipe: Recipe,
    dataset: Dataset,
    machine: Machine,
    said: Callable[[int, int], object] = lambda _done, _total: None,
) -> Compiled:
    """Have these networks compiled by as many processes as the machine has room for, once for all contexts of
    a study; `said` is told how many are done, of how many. What cannot be compiled is left to the cohort.
    """
    compiled = Compiled()
    networks = [each for each in networks if _code(each, recipe, dataset) not in _TRIED]
    count = processes(len(networks), machine)
    if len(networks) < FEWEST or count < 2:
        return compiled
    compiled.processes = count
    _TRIED.update(_code(each, recipe, dataset) for each in networks)
    left, done, ends = list(enumerate(networks)), 0, time.monotonic() + MOST_SECONDS
    with LocalExecutor(count, machine.gpus) as executor:
        said(0, len(networks))
        while (left or executor.busy) and time.monotonic() < ends:
            while left and executor.free:
                number, variant = left.pop(0)
                job = CompileNetwork(variant, recipe, dataset, machine.device.type)
                executor.submit(str(number), job)
            for _, event in executor.wait(timeout_seconds=1.0):
                if isinstance(event, Done | Died):
                    compiled.count(event)
                    done += 1
                    said(done, len(networks))
    if done < len(networks):
        compiled.failed += len(networks) - done
        compiled.reason = compiled.reason or f"not done in {duration(MOST_SECONDS)}"
    return compiled


def _code(network: Variant, recipe: Recipe, dataset: Dataset) -> str:
    """What the code of a network depends on, as far as a study says it."""
    trained = recipe.batch_size, recipe.accumulate, recipe.precision, recipe.dropout
    parts = recipe.freeze, recipe.phases
    return repr((network, trained, parts, dataset.image_size, len(dataset.classes())))


def processes(networks: int, machine: Machine) -> int:
    """How many fit: one a core and network, and no more than have memory."""
    room = psutil.virtual_memory().available
    of_gpu = machine.known.gpu_bytes
    if of_gpu is not None:
        room = min(room, of_gpu * max(1, len(machine.gpus)))
    return min(networks, machine.cores, room // PROCESS_BYTES)
