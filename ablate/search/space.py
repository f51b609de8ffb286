"""The space of a search: which parameters a variant has, and which variant a point is. No Optuna."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ablate.attention import complete, options_of
from ablate.errors import OptionError, StudyError, nearest
from ablate.study import NO_ATTENTION, Option, Variant
from ablate.study.complete import check_kinds, check_parts
from ablate.study.position import pieces
from ablate.study.search import Parameter
from ablate.study.variant import kinds_of

Point = dict[str, Option]
"""One value for each parameter that a variant has: `{"attention": "se", "reduction": 8, …}`."""

Suggest = Callable[[str, Parameter], Option]


@dataclass(frozen=True)
class Space:
    """The parameters of a `[search]` table. Which there are depends on the attention: SE has no kernel."""

    backbone: str
    parameters: Mapping[str, Parameter]

    def __post_init__(self) -> None:
        attention = self._required("attention").choices
        for name in attention:
            check_kinds(str(name))
            self._options_of(str(name))  # that there is one
            for position in self._required("position").choices if name != NO_ATTENTION else ():
                check_parts(str(name), str(position))
        known = {key for name in attention for key in self._options_of(str(name))}
        for key, parameter in self.parameters.items():
            if key not in ("attention", "position") and key not in known:
                raise OptionError(
                    f"search: no attention of this space takes {key!r}{nearest(key, known)}; "
                    f"they take: {', '.join(sorted(known)) or 'nothing'}"
                )
            if parameter.per_position and key in ("attention", "position"):
                raise OptionError(f"search: {key} cannot be per_position, only options can")

    @property
    def size(self) -> int:
        """How many points there are; several may be the same network."""
        return sum(math.prod(len(v) for v in axes) for _, axes in self._products())

    def points(self, attention: str | None = None) -> Iterator[Point]:
        """Every point, or those of one attention, in the order of the study file."""
        for names, axes in self._products():
            if attention not in (None, axes[0][0]):
                continue
            for values in itertools.product(*axes):
                yield dict(zip(names, values, strict=True))

    def ask(self, suggest: Suggest) -> Point:
        """A point whose values are suggested one after the other, each only if the variant has it."""
        point: Point = {"attention": suggest("attention", self.parameters["attention"])}
        if point["attention"] != NO_ATTENTION:
            point["position"] = suggest("position", self.parameters["position"])
        for name, parameter in self._axes(point).items():
            point[name] = suggest(name, parameter)
        return point

    def firsts(self) -> Iterator[Point]:
        """The first point of each attention and position."""
        for names, axes in self._products():
            yield dict(zip(names, (values[0] for values in axes), strict=True))

    def axes_of(self, point: Mapping[str, Option]) -> dict[str, Parameter]:
        """The parameters of a point, by the names that its values have."""
        fixed = {n: self.parameters[n] for n in ("attention", "position") if n in point}
        return {**fixed, **self._axes(point)}

    def variant(self, point: Mapping[str, Option]) -> Variant:
        """The variant of a point, with every option written out.

        Raises:
            StudyError: an option that its attention cannot take.
        """
        attention, position = str(point["attention"]), point.get("position")
        if attention == NO_ATTENTION:
            return Variant(self.backbone)
        options = {}
        for key in self._options_of(attention):
            if key in point:
                options[key] = point[key]
            parts = [str(v) for name, v in point.items() if name.startswith(f"{key}@")]
            if parts:
                options[key] = "+".join(parts)
        return complete(Variant(self.backbone, attention, str(position), tuple(options.items())))

    def _products(self) -> Iterator[tuple[list[str], list[Sequence[Option]]]]:
        """For each attention and position the names of the parameters and the values of each."""
        for attention in self.parameters["attention"].choices:
            positions: Sequence[Option | None] = (None,)
            if attention != NO_ATTENTION:
                positions = self.parameters["position"].choices
            for position in positions:
                point: Point = {"attention": attention}
                if position is not None:
                    point["position"] = position
                axes = self._axes(point)
                fixed: list[Sequence[Option]] = [(value,) for value in point.values()]
                yield [*point, *axes], [*fixed, *(p.choices for p in axes.values())]

    def _axes(self, point: Mapping[str, Option]) -> dict[str, Parameter]:
        """The parameters that depend on attention and position; `reduction@pool1` is one part's own."""
        axes: dict[str, Parameter] = {}
        for key in self._options_of(str(point["attention"])):
            parameter = self.parameters.get(key)
            if parameter is None:
                continue
            parts = self._parts_with(key, point) if parameter.per_position else []
            if len(parts) > 1:
                axes |= {f"{key}@{part}": parameter for part in parts}
            else:
                axes[key] = parameter
        return axes

    def _parts_with(self, key: str, point: Mapping[str, Option]) -> list[str]:
        """The parts of a point's position whose kind has an option."""
        variant = Variant(self.backbone, str(point["attention"]), str(point["position"]))
        parts = enumerate(pieces(str(variant.position)))
        return [part for n, part in parts if key in options_of(variant.kind_at(n))]

    def _options_of(self, attention: str) -> list[str]:
        """The options of an attention, of joined kinds those of each."""
        kinds = () if attention == NO_ATTENTION else kinds_of(attention)
        return list(dict.fromkeys(key for kind in kinds for key in options_of(kind)))

    def _required(self, name: str) -> Parameter:
        if name not in self.parameters:
            raise StudyError(f"search: parameters need {name!r}: a name or a list of names")
        return self.parameters[name]
