"""What a study's images take on the disk and in memory, and whether they fit: told before one is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ablate.datasets import cache
from ablate.errors import DataError
from ablate.plan import Plan
from ablate.system.files.folders import cache_folder
from ablate.system.hardware.known_machine import KnownMachine
from ablate.system.hardware.memory import MemoryLimits, free_bytes, gib, memory_limits
from ablate.system.messages.language import _
from ablate.train.pieces import PIECE_PIXELS

PROCESS_BYTES = 400 * 2**20
"""What a worker holds before it has an image: torch itself, measured at 430 MiB and more."""
BYTES_OF_AN_IMAGE = 36
"""Label, split and order (docs/benchmarks.md)."""
AUGMENTED_BYTES = 60
"""For each pixel while it is augmented, measured at 70 to 110."""
PLAIN_BYTES = 15
"""Without augmentation: a byte and a float32 for each of three channels."""
STEP_BYTES = 2
"""For each value that a layer gives, kept for the backward: half precision at least."""
WEIGHT_BYTES = 8
"""For each parameter: itself and its gradient."""
SHARE_OF_DISK = 1.01
"""What is asked of the disk: arrays, and a little for their labels and hashes."""
MAPPED_BYTES = 2 * 2**30
"""Addresses that torch takes for its libraries beside; most of it is never in memory. Measured at 2.7 GiB."""


@dataclass(frozen=True)
class Space:
    """What is needed and what there is. Unit: bytes; None is what nobody knows, or what has no limit.

    `cached` is all pixels in the cache, of which `missing` are still to be written with `free` on that disk.
    `worker` is the least that one of `workers` holds on a CPU, which does not grow with the number of images
    where they are cached; a GPU has all pixels, `gpu`, in `gpu_memory`.
    """

    cached: int
    missing: int
    free: int | None
    worker: int
    workers: int
    gpu: int
    gpu_memory: int | None
    together: int | None
    one_process: int | None

    def document(self) -> dict[str, Any]:
        """The same as JSON, with units in the names."""
        return {
            f"{name}_bytes" if name != "workers" else name: v for name, v in asdict(self).items()
        }

    @property
    def most_workers(self) -> int | None:
        """How many workers fit into memory, None where there is no limit."""
        return None if self.together is None else self.together // self.worker


def space_of(
    plan: Plan,
    machine: KnownMachine,
    workers: int | None = None,
    limits: MemoryLimits | None = None,
) -> Space | None:
    """Of a plan, trained by so many workers; None where nobody knows how many images there are."""
    dataset = plan.dataset
    images = dataset.image_count()
    if images is None:
        return None
    pixels, entry = images * dataset.image_size**2 * 3, dataset.cache_entry()
    kept = entry is not None and cache.is_whole(cache_folder() / entry, unsealed=True)
    on_gpu = machine.device != "cpu"
    worker = PROCESS_BYTES + BYTES_OF_AN_IMAGE * images + (0 if entry else pixels)
    limits = limits or memory_limits()
    return Space(
        cached=pixels if entry else 0,
        missing=0 if kept or not entry else round(pixels * SHARE_OF_DISK),
        free=free_bytes(cache_folder()),
        worker=worker + (0 if on_gpu else _of_a_step(plan)),
        workers=workers or machine.workers,
        gpu=pixels if on_gpu else 0,
        gpu_memory=machine.gpu_bytes,
        together=limits.together,
        # A map of all arrays counts there, although it takes no memory.
        one_process=limits.one_process,
    )


def refuse_unfit(plan: Plan, space: Space | None, *, every_worker: bool) -> None:
    """Raise where the images of a plan cannot be kept or trained on here; with `every_worker`, where so many
    workers cannot be.

    Raises:
        DataError: says what is needed, what there is and what to do.
    """
    for said in () if space is None else _unfit(space, every_worker):
        size = plan.dataset.image_size
        raise DataError(f"{plan.dataset.label} at {size}×{size}: {said}")


def _unfit(space: Space, every_worker: bool) -> Iterator[str]:
    if space.free is not None and space.missing > space.free:
        yield (
            f"its arrays take {gib(space.missing)} in the cache {cache_folder()}, where {gib(space.free)} "
            "are free: free some, set ABLATE_CACHE to a folder on another disk, or make image_size smaller"
        )
    if space.gpu_memory is not None and space.gpu > space.gpu_memory:
        yield (
            f"all pixels take {gib(space.gpu)}, and the GPU has {gib(space.gpu_memory)}: make image_size "
            "smaller, or use --device cpu, where they stay on the disk"
        )
    mapped = MAPPED_BYTES + space.worker + space.cached
    if space.one_process is not None and mapped > space.one_process:
        yield (
            f"a worker needs at least {gib(mapped)} of addresses, {gib(space.cached)} of them to map the "
            f"cache, and ulimit -v allows {gib(space.one_process)}: raise it, or make image_size smaller"
        )
    most = space.most_workers
    if most is not None and most < (space.workers if every_worker else 1):
        advice = (
            f"give --workers {most}" if most else "make recipe.batch_size or image_size smaller"
        )
        need = f"{space.workers} workers need" if most else "a worker needs"
        yield (
            f"{need} at least {gib(space.worker)} of memory{' each' if most else ''}, and there are "
            f"{gib(space.together or 0)}: {advice}"
        )


def told_space(space: Space | None) -> Iterator[str]:
    """What images take, in words; and a warning where not all workers fit."""
    if space is None:
        return
    if space.cached:
        free = "" if space.free is None else _(", where {free} are free", free=gib(space.free))
        there = (
            _("to be written to the cache{free}", free=free) if space.missing else _("in the cache")
        )
        yield _("on the disk: {cached} of pixels, {there}", cached=gib(space.cached), there=there)
    if space.gpu:
        yield _(
            "in the memory of the GPU: {gpu} of pixels, once in each worker", gpu=gib(space.gpu)
        )
    else:
        grows = _("however many images there are") if space.cached else _("all pixels are in it")
        yield _(
            "in memory: at least {worker} in each worker, {grows}",
            worker=gib(space.worker),
            grows=grows,
        )
    most = space.most_workers
    if most is not None and most < space.workers:
        yield (
            _(
                "warning: {workers} workers do not fit into {memory} of memory: train with "
                "--workers {most}",
                workers=space.workers,
                memory=gib(space.together or 0),
                most=most,
            )
        )


def _of_a_step(plan: Plan) -> int:
    """The least that a step takes of a CPU's memory beside the process: its images while they are augmented,
    and of the largest network its weights and what the layers give for one batch.
    """
    recipe, pixels = plan.study.recipe, plan.dataset.image_size**2
    images = plan.dataset.image_count() or 0
    batch = min(recipe.batch_size, images)
    made = min(max(PIECE_PIXELS, recipe.step_images * pixels), 512 * pixels, images * pixels)
    each = AUGMENTED_BYTES if recipe.augment else PLAIN_BYTES
    networks = plan.variants.values()
    step = max(a.parameters * WEIGHT_BYTES + a.activations * batch * STEP_BYTES for a in networks)
    return made * each + step
