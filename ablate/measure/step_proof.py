"""One real training step of a network before it is planned as trainable, and proof that attention acts.

What fails in training fails here, in the memory format, precision and batch sizes of the recipe: a view on
channels-last maps, a tuple of outputs in training, batch norm with one image in the last batch. And each
attention module must reach the loss: its output gets a gradient that is not zero, its parameters take one,
and in evaluation the logits follow its output: by a gradient, or when it is disturbed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from ablate.errors import PlacementError
from ablate.measure.step_guards import (
    SEED,
    StepAsked,
    check_alone,
    check_kept,
    check_stepped,
    meet_onednn,
    name_of,
)
from ablate.model import build, find_targets
from ablate.system.messages.text import one_line
from ablate.system.process.randomness import seeded
from ablate.system.software.imports import prints_to_stderr
from ablate.train.step import Trainer, make_trainer

TRIES = 8
"""Steps until attention without a gradient is refused."""
DISTURBED = 4
"""Images on which attention's output is disturbed."""
STRENGTHS = (1.0, 64.0)
"""How much: after a factor that was zero a step ago, mixed precision rounds a little away."""

ADVICE = {
    "view size is not compatible": "write .reshape instead of .view: training uses channels-last maps",
    "Expected more than 1 value per channel": (
        "batch norm cannot train on one image: change recipe.batch_size, so that the last batch of an "
        "epoch has more"
    ),
    "Expected more than 1 spatial element": "instance norm needs maps of more than one place",
    "modified by an inplace operation": "an in-place operation changes what the backward needs",
    "backward through the graph a second time": (
        "what it keeps from one step for the next must be detached: x.detach()"
    ),
    "must be Tensor, not tuple": "in training it gives several outputs: wrap it so that it gives one",
    "must be Tensor, not dict": "it gives a dictionary: wrap it so that it gives the logits",
    "floating point": "complex parameters cannot be trained by these optimizers",
    "does not require grad": "nothing in it can be trained: is all of it frozen, or under torch.no_grad()?",
}
"""Part of what PyTorch says → what to do."""


def prove_step(asked: StepAsked) -> None:
    """Take the steps, and see that attention acts.

    Raises:
        PlacementError: a step fails, or attention does not reach the loss.
    """
    variant = asked.variant
    targets = find_targets(variant, asked.classes, asked.image_size)
    paths = {target.attached: target.words for target in targets}
    net = build(variant, asked.classes, asked.image_size, SEED)
    meet_onednn(net, asked)
    check_kept(net, asked)
    check_alone(net, asked, targets)
    with prints_to_stderr(), seeded(SEED):  # a proof draws nothing from what others draw from
        # Unfrozen: where all before it is frozen, a placebo without weights gives no gradient back.
        recipe, machine = asked.recipe.unfrozen, asked.machine
        trainer = make_trainer(net, recipe, machine.device, machine.precision)
        with _outputs_of(net, paths) as outputs:
            # The last batch first, so that the outputs which are kept are those of a whole one. Two steps at
            # least: the second one meets what the first has left.
            for size in [*reversed(asked.batch_sizes), asked.batch_sizes[0]]:
                _step(trainer, asked, size)
            check_stepped(trainer, asked)
            _check_reached(trainer, asked, paths, outputs)
        _check_trained(trainer, asked, paths)
        _check_disturbed(trainer, asked, paths)


def _batch(asked: StepAsked, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise as training would hand it over: normalised, channels last."""
    side, device = asked.image_size, asked.machine.device
    generator = torch.Generator().manual_seed(SEED)
    images = torch.randn(size, 3, side, side, generator=generator)
    labels = torch.randint(0, asked.classes, (size,), generator=generator)
    return images.to(device).contiguous(memory_format=torch.channels_last), labels.to(device)


def _step(trainer: Trainer, asked: StepAsked, size: int, again: int = 0) -> None:
    trainer.train()
    trainer.prepare(asked.recipe.learning_rate, SEED + again)
    images, labels = _batch(asked, size)
    before = images.clone()
    try:
        loss, _ = trainer.step((images, labels))
    except Exception as error:
        # Networks fail in every way there is; whatever it is, it would fail each run.
        raise PlacementError(_says(asked, size, error)) from error
    if loss.dim() != 0:
        raise PlacementError(
            f"{name_of(asked)}: its loss has the shape {tuple(loss.shape)}, not one number"
        )
    if not torch.equal(images, before):
        raise PlacementError(
            f"{name_of(asked)}: its forward changes the images that it is given, which runs side by side "
            "share: change a copy (x = x - 0.5, not x.sub_(0.5); no inplace=True in the first layer)"
        )


def _says(asked: StepAsked, size: int, error: Exception) -> str:
    advice = next((text for part, text in ADVICE.items() if part in str(error)), "")
    images = "1 image" if size == 1 else f"{size} images"
    said = f"{name_of(asked)}: a training step on {images} fails: {one_line(error)}"
    return f"{said.rstrip('.')}; {advice}" if advice else said


@contextmanager
def _outputs_of(net: nn.Module, paths: Mapping[str, str]) -> Iterator[dict[str, torch.Tensor]]:
    """What each attention module gives, with its gradient kept, while the context lasts."""
    outputs: dict[str, torch.Tensor] = {}

    def keep(path: str) -> torch.utils.hooks.RemovableHandle:
        def hook(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            if output.requires_grad:
                output.retain_grad()
            outputs[path] = output

        return net.get_submodule(path).register_forward_hook(hook)

    handles = [keep(path) for path in paths]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _check_reached(
    trainer: Trainer,
    asked: StepAsked,
    paths: Mapping[str, str],
    outputs: dict[str, torch.Tensor],
) -> None:
    """The loss must send a gradient back to what attention gave.

    A head or a factor that begins at zero lets nothing through before the first step, and a branch that is
    dropped at random none of that one: so there are several steps, each under draws of its own.
    """
    left = _unreached(paths, outputs)
    for again in range(1, TRIES):
        if not left:
            return
        outputs.clear()
        _step(trainer, asked, asked.batch_sizes[0], again)
        still = _unreached(paths, outputs)
        left = [path for path in left if path in still]
    for path in left:
        raise PlacementError(
            f"{name_of(asked)}: attention {paths[path]} does not reach the loss: no gradient comes "
            "back to it; is it under torch.no_grad() or inference_mode(), or on a branch that is not used?"
        )


def _unreached(paths: Mapping[str, str], outputs: Mapping[str, torch.Tensor]) -> list[str]:
    kept = {path: outputs[path] for path in paths if path in outputs}
    grads = {path: each.grad for path, each in kept.items() if each.requires_grad}
    return [p for p in paths if (grad := grads.get(p)) is None or not bool(grad.any())]


def _check_trained(trainer: Trainer, asked: StepAsked, paths: Mapping[str, str]) -> None:
    """Every parameter of attention must get a gradient that is not zero: as it was drawn, or where a ReLU
    is dead for all images, with all weights positive or negative; under other draws, where it is dropped.
    """
    inserted = {path: trainer.net.get_submodule(path) for path in paths}
    still = {(path, n) for path, module in inserted.items() for n, _ in module.named_parameters()}
    signs = [(0, 0), *((sign, again) for again in range(TRIES) for sign in (1, -1))]
    for sign, again in signs:
        if not still:
            return
        if sign:
            _make_one_sign([p for module in inserted.values() for p in module.parameters()], sign)
            _step(trainer, asked, asked.batch_sizes[0], again)
        for path, module in inserted.items():
            moved = {n for n, p in module.named_parameters() if p.grad is not None and p.grad.any()}
            still -= {(path, name) for name in moved}
    if still:
        path, name = min(still)
        raise PlacementError(
            f"{name_of(asked)}: attention {paths[path]} cannot be trained: its {name!r} gets no gradient"
        )


def _make_one_sign(parameters: Sequence[nn.Parameter], sign: int) -> None:
    with torch.no_grad():
        for parameter in parameters:
            parameter.abs_().mul_(sign)


def _check_disturbed(trainer: Trainer, asked: StepAsked, paths: Mapping[str, str]) -> None:
    """The logits must follow what attention gives in evaluation too: in training the loss's gradient has
    shown it. A gradient shows all places at once; where it has none, what attention gives is disturbed.
    """
    trainer.net.eval()
    images, _ = _batch(asked, DISTURBED)
    followed = _followed(trainer, images, paths)
    left = {path: words for path, words in paths.items() if path not in followed}
    if not left:
        return
    with torch.no_grad(), _same_buffers(trainer.net):
        before = _logits(trainer, images)
    for path, words in left.items():
        attention = trainer.net.get_submodule(path)
        with torch.no_grad(), _same_buffers(trainer.net):
            disturbed = (_disturbed_logits(trainer, images, attention, s) for s in STRENGTHS)
            same = all(torch.equal(before, after) for after in disturbed)
        if same:
            raise PlacementError(
                f"{name_of(asked)}: attention {words} does not reach the loss: in evaluation the "
                "logits are the same whatever it gives; does the network take that map before "
                "attention does?"
            )


def _followed(trainer: Trainer, images: torch.Tensor, paths: Mapping[str, str]) -> set[str]:
    """The attention whose output has a gradient that is not zero, of logits weighted by noise; none where
    evaluation has no gradients."""
    with _same_buffers(trainer.net), _outputs_of(trainer.net, paths) as outputs:
        try:
            logits = _logits(trainer, images)
            noise = torch.rand(logits.shape, generator=torch.Generator().manual_seed(SEED))
            kept = {path: each for path, each in outputs.items() if each.requires_grad}
            if not (kept and logits.requires_grad):
                return set()
            weighted = (logits * noise.to(logits.device)).sum()
            found = torch.autograd.grad(weighted, list(kept.values()), allow_unused=True)
        except RuntimeError:
            return set()  # it evaluates in ways that training would not: then disturbing it tells
    return {p for p, grad in zip(kept, found, strict=True) if grad is not None and grad.any()}


def _disturbed_logits(
    trainer: Trainer, images: torch.Tensor, attention: nn.Module, strength: float
) -> torch.Tensor:
    handle = attention.register_forward_hook(partial(_disturb, strength))
    try:
        return _logits(trainer, images)
    finally:
        handle.remove()


def _disturb(
    strength: float, _module: nn.Module, _inputs: object, output: torch.Tensor
) -> torch.Tensor:
    """Other channels, other places: a factor of 0.5 to 1.5 for each value, times the strength."""
    generator = torch.Generator(output.device).manual_seed(SEED)
    noise = torch.rand(output.shape, generator=generator, device=output.device)
    return output * (strength * (0.5 + noise)).to(output.dtype)


def _logits(trainer: Trainer, images: torch.Tensor) -> torch.Tensor:
    """Under the same draws each time."""
    trainer.draw_from(SEED)
    with trainer.precision.autocast(trainer.device):
        logits: torch.Tensor = trainer.net(
            images.contiguous(memory_format=trainer.precision.memory_format)
        )
    return F.log_softmax(logits.float(), dim=1)


@contextmanager
def _same_buffers(net: nn.Module) -> Iterator[None]:
    """What a forward notes in buffers is put back: the next one finds what this one found."""
    state = {name: value.clone() for name, value in net.named_buffers()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in net.named_buffers():
                value.copy_(state[name])
