"""What throughput and profile share: variants ready to step on one real batch."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ablate.attention import use_kernels
from ablate.datasets.base import Dataset
from ablate.identity.proof import Proof
from ablate.model import build, prove
from ablate.result.named import NamedNetwork
from ablate.study import Recipe, Variant
from ablate.system.hardware.machine import Machine, describe_process, prepare_machine
from ablate.train.batch import Batch
from ablate.train.data import load_data, train_batches
from ablate.train.recorder import Record, record_alone
from ablate.train.step import Trainer, make_trainer

SEED = 1


@dataclass(frozen=True)
class Network:
    """A variant to be built and measured, and the fingerprint under which it is stored."""

    variant: Variant
    fingerprint: str


@dataclass(frozen=True)
class Conditions:
    """Under what all networks are measured: a recipe, the study's images, the device that was asked
    for, and the kernels of attention that were measured to be faster there. `named` is the network of the
    user's that fingerprints name, to be proven where it is measured. `recorded` asks for the costs of
    recorded steps, as a GPU trains by them; those of eager steps then stand beside them.
    """

    recipe: Recipe
    dataset: Dataset
    device: str
    kernels: Mapping[str, str] = field(default_factory=dict)
    named: NamedNetwork | None = None
    recorded: bool = False


@dataclass(frozen=True)
class Bench:
    """A machine with one augmented batch of the study's size on its device, and proof of its networks."""

    conditions: Conditions
    machine: Machine
    batch: Batch
    proof: Proof | None = None

    @property
    def device(self) -> torch.device:
        return self.machine.device

    @property
    def environment(self) -> dict[str, Any]:
        """Where what is measured here comes from. Steps are of one run, whatever cohorts are stepped by."""
        path = "eager" if self.record is None else "graph"
        return describe_process(self.machine, self.conditions.kernels, step_path=path)

    @property
    def record(self) -> Record | None:
        """What records the work that is measured; None where it is measured as it is."""
        return record_alone if self.conditions.recorded else None

    def build(self, network: Network) -> nn.Module:
        """The network on the CPU, with the weights that it has before training."""
        dataset = self.conditions.dataset
        net = build(network.variant, len(dataset.classes()), dataset.image_size, SEED)
        if self.proof is not None:
            self.proof.check_weights(net)
        use_kernels(net, self.conditions.kernels)
        return net

    def check_code(self) -> None:
        """What was measured is of the code that fingerprints name.

        Raises:
            NetworkChangedError: it is not.
        """
        if self.proof is not None:
            self.proof.check_code()

    def trainer(self, network: Network) -> Trainer:
        """The network with fresh weights, ready to step."""
        return self.trainer_of(self.build(network))

    def trainer_of(self, net: nn.Module) -> Trainer:
        """A copy of a network on the device, ready to step; the network stays as it is."""
        return make_trainer(
            copy.deepcopy(net), self.conditions.recipe, self.device, self.machine.precision
        )

    def seconds(self, work: Callable[[], object], repeats: int) -> float:
        """Seconds for that many calls; the device is waited for only before and after."""
        self.synchronise()
        started = time.perf_counter()
        for _ in range(repeats):
            work()
        self.synchronise()
        return time.perf_counter() - started

    def peak_memory_mib(self, *, anew: bool = False) -> float | None:
        """The most memory that torch has held on the device, from now on if `anew`; None for a CPU."""
        if self.device.type != "cuda":
            return None
        if anew:
            torch.cuda.reset_peak_memory_stats(self.device)
        return torch.cuda.max_memory_allocated(self.device) / 2**20

    def synchronise(self) -> None:
        """Wait until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def make_bench(conditions: Conditions, networks: Iterable[Network] = ()) -> Bench:
    """Prepare the machine as training does: the same threads, precision, images and batch size.

    Raises:
        NetworkChangedError: these networks are not what their fingerprints say.
    """
    recipe, size, named = conditions.recipe, conditions.dataset.image_size, conditions.named
    machine = prepare_machine(conditions.device, recipe.precision)
    device = machine.device
    data = load_data(conditions.dataset, recipe, device)
    images, labels = next(train_batches(data, recipe, SEED, epoch=1))
    # A training set smaller than a batch is measured at the batch size all the same.
    rows = torch.arange(recipe.batch_size, device=device) % len(labels)
    batch = images[rows].contiguous(memory_format=torch.channels_last), labels[rows]
    wanted = [(network.variant, network.fingerprint) for network in networks]
    return Bench(conditions, machine, batch, None if named is None else prove(named, size, wanted))
