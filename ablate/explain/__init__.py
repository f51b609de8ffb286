"""Pictures of what attention does: feature maps, gates and heat maps of stored or untrained networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablate.explain.explanation import Explanation

__all__ = ["explain"]


def explain(
    *targets: str,
    study: str | Path,
    image: str | Path | None = None,
    samples: int = 2,
    layers: Sequence[str] = (),
    db: str = "sqlite:///results/ablation.db",
    data: str | Path | None = None,
    set: Sequence[str] = (),
    allow_import: Sequence[str] = (),
) -> Explanation:
    """What `ablate explain` shows, as figures and arrays for a notebook; writes no file.

    `targets` are run keys (or their beginnings) and names of variants of the study file; `layers`
    are globs over module paths. `explain(...).figures["heat-maps-1"]` is a matplotlib figure.

    Raises:
        AblateError: a target, layer, image, dataset or weights that must be changed.
    """
    # Here, not above: a worker and the report import parts of this room without all of it.
    from ablate.explain.explanation import Request, explain_networks
    from ablate.study.file import load_study
    from ablate.system.software.imports import allow_imports

    allow_imports(allow_import)
    return explain_networks(
        Request(
            targets=targets,
            study=load_study(Path(study), set),
            url=db,
            image=None if image is None else Path(image),
            samples=samples,
            layers=tuple(layers),
            data=None if data is None else Path(data),
        )
    )
