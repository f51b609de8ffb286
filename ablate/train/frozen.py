"""What of a network is not trained for now: without gradients, and its batch norm in evaluation mode."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from ablate.attention import Attention
from ablate.study import Recipe
from ablate.study.trained import BACKBONE, Weights, frozen_paths, names


@dataclass
class Freezing:
    """Freezes what a recipe says, epoch by epoch. `globs` are those in force.

    Parameters that the network itself does not train stay as they are. The batch norm of frozen parts, and
    instance norm with running statistics, is in evaluation mode: it uses the statistics that it has, and
    keeps them. Dropout and what else tells training from evaluation is not touched.
    """

    net: nn.Module
    recipe: Recipe
    globs: tuple[str, ...] = ()
    _trained: list[tuple[str, nn.Parameter]] = field(init=False)
    _norms: list[nn.Module] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        named = self.net.named_parameters()
        self._trained = [(n.rpartition(".")[0], p) for n, p in named if p.requires_grad]

    def begin(self, epoch: int) -> None:
        """Freeze what is not trained in an epoch, counted from 1, and thaw the rest; nothing else changes."""
        globs = self.recipe.frozen_in(epoch)
        if globs == self.globs:
            return
        frozen = frozen_paths(modules_of(self.net), globs)
        for path, parameter in self._trained:
            parameter.requires_grad_(path not in frozen)
            if path in frozen:
                parameter.grad = None  # of a phase before: it would be clipped and stepped along
        self.globs, self._norms = globs, self._norms_in(frozen, globs)

    def keep_statistics(self) -> None:
        """After `net.train()`."""
        for norm in self._norms:
            norm.eval()

    def _norms_in(self, frozen: frozenset[str], globs: tuple[str, ...]) -> list[nn.Module]:
        """Those with statistics in what is frozen; one without weights of its own goes by its path."""
        inserted = attention_paths(self.net)
        owners = {path for path, _ in self._trained}
        paths = [module.path for module in modules_of(self.net) if not module.attention]
        word = BACKBONE in globs and not any(names(BACKBONE, path) for path in paths)
        bare = [glob for glob in globs if glob != BACKBONE or not word]
        return [
            module
            for path, module in self.net.named_modules()
            if isinstance(module, _NormBase)
            and not is_below(path, inserted)
            and (path in frozen if path in owners else _is_named(path, bare) or word)
        ]


def _is_named(path: str, globs: list[str]) -> bool:
    return any(names(glob, path) for glob in globs)


def modules_of(net: nn.Module) -> list[Weights]:
    """The modules of a network that have weights of their own, in its order."""
    attention = attention_paths(net)
    owners = dict.fromkeys(name.rpartition(".")[0] for name, _ in net.named_parameters())
    return [Weights(path, is_below(path, attention)) for path in owners]


def attention_paths(net: nn.Module) -> tuple[str, ...]:
    """Where attention of ours is."""
    return tuple(path for path, module in net.named_modules() if isinstance(module, Attention))


def is_below(path: str, others: tuple[str, ...]) -> bool:
    """Whether a module is one of these, or within one."""
    return any(path == other or path.startswith(f"{other}.") for other in others)
