"""Networks built in outline: the part of planning that needs torch."""

from __future__ import annotations

from ablate.attention import ATTENTION
from ablate.backbones import BACKBONES
from ablate.identity.known import forget_origins, known_origin
from ablate.identity.origin import module_of
from ablate.identity.proof import name_network
from ablate.measure.architecture import describe
from ablate.network.fresh import check_seeds
from ablate.network.places import find_own_attention
from ablate.network.repeats import check_repeats
from ablate.network.trace import check_classifies, forget_outline
from ablate.outline.asked import Asked, Outlines
from ablate.outline.reads import reads_nothing_else, watched
from ablate.outline.unchanged import hash_read
from ablate.result import Architecture
from ablate.system.hardware.machine import keep_freed_memory, one_thread
from ablate.system.messages.language import _
from ablate.system.messages.pulse import PULSE
from ablate.system.software.imports import prints_to_stderr
from ablate.system.software.modules import room_of


@one_thread()
@prints_to_stderr()
def build_outlines(asked: Asked) -> Outlines:
    """Build every variant in outline, and find out about a user's network what can be found.

    Raises:
        StudyError: a variant that cannot be built or described, or not for images of this size.
    """
    keep_freed_memory()  # every network takes the same memory again
    backbone, classes, size = asked.backbone, asked.classes, asked.image_size
    with watched(asked.is_own) as seen:
        check_classifies(backbone, classes, size)
        said = [check_seeds(backbone, classes), check_repeats(backbone, classes, size)]
        note = "; ".join(filter(None, said)) or None
        forget_origins()
        architectures = _build(asked)
        own_attention = find_own_attention(backbone, classes, size)
        forget_outline()
        named = name_network(backbone, classes, asked.identity, size)
    outlines = Outlines(architectures, own_attention, note, named)
    if named is None:
        return outlines
    origin = known_origin(backbone, classes, asked.identity, size)
    known = not seen.refused and reads_nothing_else(asked, origin)
    files = dict(origin.files) if known else None
    read = {path: hash_read(path) for path in seen.read}
    return Outlines(architectures, own_attention, note, named, files, dict(origin.libraries), read)


def _build(asked: Asked) -> tuple[Architecture, ...]:
    built: list[Architecture] = []
    for variant in asked.variants:
        PULSE.count(_("building variants"), len(built), len(asked.variants))
        built.append(describe(variant, asked.classes, asked.image_size, asked.identity))
    return tuple(built)


def tables_are_ours() -> bool:
    """Whether every entry of the tables of attention and backbones is defined in this program."""
    modules = [
        *(kind.__module__ for kind in ATTENTION.values()),
        *map(module_of, BACKBONES.values()),
    ]
    return all(room_of(module) == "ablate" for module in modules)
