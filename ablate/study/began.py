"""Which runs of a study began with the weights that its networks begin with now, told by their keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ablate.study.keys import run_conditions, run_keys
from ablate.study.own_code import sources_in

if TYPE_CHECKING:
    from ablate.study import Study


class Begun(Protocol):
    """A run as far as its key goes, with what it was trained under."""

    @property
    def run_key(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def fold(self) -> int | None: ...
    @property
    def recipe(self) -> Mapping[str, Any]: ...


def began_so(run: Begun, study: Study, content: str, weights: str | None) -> bool:
    """Whether a run of this study on images of this content began with the weights of this SHA-256, or was
    drawn where it is None: whether its key is what such a run has, of its own network, seed and code.
    """
    sources = sources_in(run.recipe)
    given = study.recipe, content, study.image_size, study.data
    # An epoch leaves out one image or none, which only the number of images tells.
    every = (run_conditions(*given, left_out, weights, sources) for left_out in (0, 1))
    return any(
        run.run_key in run_keys(each, run.fingerprint, [run.seed], run.fold) for each in every
    )
