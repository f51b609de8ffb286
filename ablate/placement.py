"""Where a variant's attention goes: its position, resolved into modules of the network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ablate.errors import PlacementError, nearest
from ablate.network.places import (
    Place,
    find_places,
    list_places,
)
from ablate.network.trace import (
    Shape,
    trace,
    trace_outputs,
)
from ablate.result.architecture import ATTACHED_AS, BEFORE_AS
from ablate.study import NO_ATTENTION, Variant
from ablate.study.position import (
    AFTER,
    BEFORE,
    REPLACE,
    PositionPart,
    escape,
    matches_glob,
    parts_of,
)

CAN_GO = {
    AFTER: "attention can go after",
    BEFORE: "attention can go before",
    REPLACE: "attention can take the place of",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a variant's attention goes: after, before or instead of the module at a path."""

    how: str
    path: str
    shape: Shape
    part: int
    maps: int = 1

    @property
    def attached(self) -> str:
        """The path of the attention module."""
        return f"{self.path}.{BEFORE_AS if self.how == BEFORE else ATTACHED_AS}"

    @property
    def words(self) -> str:
        """`after 'layer1'`, for errors."""
        return f"{'in place of' if self.how == REPLACE else self.how} {self.path!r}"


def find_targets(variant: Variant, classes: int, image_size: int) -> tuple[Target, ...]:
    """The modules that a variant's position names, in the network's order; `part` is the first that does.

    Raises:
        PlacementError: with the paths that can be used, the nearest first; or a place of two kinds.
    """
    if variant.attention == NO_ATTENTION or variant.position is None:
        trace(variant.backbone, classes, image_size)  # it must take the images all the same
        return ()
    found: dict[tuple[str, str], Target] = {}
    for number, part in enumerate(parts_of(variant.position)):
        places = find_places(variant.backbone, classes, image_size, part.how)
        for path in _matches(variant.backbone, part, places):
            place = places[path]
            target = Target(part.how, path, place.shape, number, place.maps)
            _check_kinds(variant, found.setdefault((part.how, path), target), target)
    _check_replaced(variant, found.values())
    order = {path: i for i, path in enumerate(trace_outputs(variant.backbone, classes, image_size))}
    return tuple(sorted(found.values(), key=lambda target: (order[target.path], target.how)))


def _matches(backbone: str, part: PositionPart, places: dict[str, Place]) -> list[str]:
    """The places that a part of a position names. Of what is replaced the backbone's own attention comes
    first: where a glob matches some of it, it means nothing else."""
    matches = [path for path in places if matches_glob(path, part.glob)]
    if part.how == REPLACE:
        matches = [path for path in matches if places[path].own] or matches
    problems = [f"{path!r} {places[path].problem}" for path in matches if places[path].problem]
    if problems or not matches:
        usable = [escape(path) for path, place in places.items() if not place.problem]
        shown = part.glob if part.how == AFTER else f"{part.how}:{part.glob}"
        nothing = f"position {shown!r} matches no module{nearest(part.glob, usable)}"
        raise PlacementError(
            f"{backbone}: {problems[0] if problems else nothing}; "
            f"{CAN_GO[part.how]}: {list_places(places)}"
        )
    return matches


def _check_kinds(variant: Variant, first: Target, second: Target) -> None:
    """One place has one kind: which comes first is a question that a position does not answer."""
    kinds = [variant.kind_at(target.part) for target in (first, second)]
    if kinds[0] != kinds[1]:
        raise PlacementError(
            f"{variant.name}: two parts of its position name {first.path!r}, with {kinds[0]} and with "
            f"{kinds[1]}: a place has one kind; name other modules in one of the two"
        )


def _check_replaced(variant: Variant, targets: Iterable[Target]) -> None:
    """Nothing can be done to a module that is not there any more."""
    gone = [target.path for target in targets if target.how == REPLACE]
    for target in targets:
        for path in gone:
            inside = target.path.startswith(f"{path}.")
            if inside or (target.path == path and target.how != REPLACE):
                raise PlacementError(
                    f"{variant.name}: {path!r} is replaced, so there can be no attention "
                    f"{target.words}: name one of the two"
                )
