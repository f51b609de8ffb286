"""Which parts of a network a recipe trains, and how fast: by the paths of its modules, no torch needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ablate.errors import StudyError, nearest
from ablate.study.position import matches_glob
from ablate.study.recipe import Recipe

BACKBONE = "backbone"
"""In `freeze`: all but attention and the last layer with weights. A module of that name comes first."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A module that has weights of its own, in the network's order; `attention` if a study inserted it."""

    path: str
    attention: bool


def names(glob: str, path: str) -> bool:
    """Whether a glob names a module or one that it is in: `layer1` names `layer1.0.conv1`."""
    parts = path.split(".")
    return any(matches_glob(".".join(parts[:end]), glob) for end in range(1, len(parts) + 1))


def rate_of(path: str, rates: Mapping[str, float]) -> float:
    """The learning-rate factor of a module of the backbone: that of the innermost module that a glob names;
    of two globs that name one module, that of the later in their order as text.
    """
    found = [glob for glob in sorted(rates) if names(glob, path)]
    return rates[max(found, key=lambda glob: (glob.count("."), glob))] if found else 1.0


def frozen_paths(modules: Sequence[Weights], globs: Iterable[str]) -> frozenset[str]:
    """Those of the backbone's modules that globs freeze."""
    backbone = [module.path for module in modules if not module.attention]
    found: set[str] = set()
    for glob in globs:
        named = [path for path in backbone if names(glob, path)]
        found.update(named or (backbone[:-1] if glob == BACKBONE else ()))
    return frozenset(found)


def check_trained(recipe: Recipe, backbone: str, networks: Iterable[Sequence[Weights]]) -> None:
    """Refuse globs that name nothing with weights in the backbone of any of a study's networks, in some of
    which attention is in a module's place, and rates of what is never trained.

    Raises:
        StudyError: names the glob.
    """
    # Those with all of the backbone first: in their order its last layer is last.
    networks = sorted(
        networks, key=lambda modules: sum(m.attention for m in modules) - len(modules)
    )
    _check_named(recipe, backbone, dict.fromkeys(m for modules in networks for m in modules))
    for modules in networks:
        for epoch in recipe.first_epochs:
            if frozen_paths(modules, recipe.frozen_in(epoch)) >= {m.path for m in modules}:
                raise StudyError(
                    f"recipe: from epoch {epoch} all of {backbone} is frozen, so nothing is trained: "
                    f"freeze less, or {BACKBONE!r}, which leaves the last layer"
                )


def _check_named(recipe: Recipe, backbone: str, modules: Iterable[Weights]) -> None:
    modules = list(modules)
    paths = [module.path for module in modules if not module.attention]
    for glob in (*recipe.rates, *recipe.freeze, *(g for p in recipe.phases for g in p.freeze)):
        if glob != BACKBONE and not any(names(glob, path) for path in paths):
            outer = dict.fromkeys(path.partition(".")[0] for path in paths if path)
            raise StudyError(
                f"recipe: {glob!r} names nothing of {backbone} that has weights"
                f"{nearest(glob, [*outer, *paths])}; there are: {', '.join(list(outer)[:20])}; attention "
                "has attention_rate, and is never frozen"
            )
    never = frozenset.intersection(
        *(frozen_paths(modules, recipe.frozen_in(epoch)) for epoch in recipe.first_epochs)
    )
    for glob in recipe.rates:
        if all(path in never for path in paths if names(glob, path)):
            raise StudyError(
                f"recipe.rates: {glob!r} names what is frozen and never trained: leave out its rate, or "
                "what freezes it"
            )


def frozen_note(recipe: Recipe, modules: Sequence[Weights]) -> str | None:
    """What a reader must know of what a recipe freezes in a network, such as which layer `backbone` leaves;
    None where there is nothing to say.
    """
    frozen = {epoch: recipe.frozen_in(epoch) for epoch in recipe.first_epochs}
    paths = [module.path for module in modules if not module.attention]
    meant = {} if any(names(BACKBONE, path) for path in paths) else _meant(paths)
    said = [
        f"{', '.join(meant.get(glob, glob) for glob in globs)} from epoch {epoch}"
        for epoch, globs in frozen.items()
        if globs
    ]
    if not said:
        return None
    thawed = [f"nothing from epoch {epoch}" for epoch, globs in frozen.items() if not globs]
    return (
        f"not trained: {'; '.join(said + thawed)}; the batch norm of frozen parts is in evaluation mode and "
        "keeps its statistics, attention in them is trained"
    )


def _meant(paths: Sequence[str]) -> dict[str, str]:
    return {BACKBONE: f"{BACKBONE}, which is all but {paths[-1]}," if paths else BACKBONE}
