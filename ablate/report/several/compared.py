"""Which of several studies may be compared, which may not and why: the first lines of their report."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.errors import OptionError
from ablate.page.document import Block, Note
from ablate.report.effects.contexts import InContext, variants_of
from ablate.report.several.parts import (
    Group,
    differences,
    groups_of,
    listed,
    networks,
)
from ablate.system.messages.language import ENGLISH, N_, _, spoken


def compared_blocks(groups: Sequence[Group]) -> tuple[Block, ...]:
    """The first lines: which numbers stand beside each other, which do not, and why."""
    first, *others = groups
    together = [group for group in groups if len(group.parts) > 1]
    lead = [
        Note(
            _(
                "{studies} may be compared: the same images and classes, network, recipe, image size, "
                "baseline and metric.",
                studies=group.title,
            ),
            "lead",
        )
        for group in together
    ]
    if not together:
        text = _(
            "No two of these studies may be compared number by number. What may be compared is whether an "
            "effect holds: each verdict is of a variant to the baseline of its own study."
        )
        lead = [Note(text, "lead")]
    apart = [Note(_apart(group, first)) for group in others]
    return (*lead, *apart, *_machines(groups), *_other_networks(together))


def _apart(group: Group, first: Group) -> str:
    message = N_("{studies} are not compared with {first}: {why}.")
    if len(group.parts) == 1:
        message = N_("{studies} is not compared with {first}: {why}.")
    why = differences(first.facts, group.facts)
    return _(message, studies=group.title, first=first.title, why=why)


def refuse_strangers(parts: Sequence[InContext]) -> None:
    """Refuse a study that shares nothing with any of the others.

    Raises:
        OptionError: it has neither a variant nor images, network and recipe in common with another.
    """
    groups = groups_of(parts)
    for part in parts:
        own, name = set(variants_of([part])), part.summary.study["name"]
        others = [each for each in parts if each.summary.study["name"] != name]
        beside = any(part in group.parts and len(group.parts) > 1 for group in groups)
        if others and not beside and not own & set(variants_of(others)):
            with spoken(ENGLISH):  # as all errors
                named = listed([each.name for each in others])
            raise OptionError(
                f"{part.name} has nothing in common with {named}: no variant, and not the same images, "
                "network and recipe: leave it out"
            )


def _machines(groups: Sequence[Group]) -> tuple[Block, ...]:
    """That studies of one recipe were trained on unlike machines."""
    told = []
    for group in groups:
        places = {part.name: listed(list(part.summary.trained_on)) for part in group.parts}
        if len({place for place in places.values() if place}) > 1:
            each = _("; ").join(
                _("{study} on {place}", study=name, place=place or _("what is not known"))
                for name, place in places.items()
            )
            text = _(
                "Trained on unlike machines, so that every study has a column of its own: {each}.",
                each=each,
            )
            told.append(Note(text, "warning"))
    return tuple(told)


def _other_networks(groups: Sequence[Group]) -> tuple[Block, ...]:
    """That a name does not stand for the same network in studies that may be compared."""
    told = []
    for group in groups:
        names = [*variants_of(group.parts), group.facts["baseline"]]
        found = {
            name: {own for p in group.parts if (own := networks(p.summary, name))} for name in names
        }
        other = [name for name, fingerprints in found.items() if len(fingerprints) > 1]
        if other:
            text = _(
                "Not the same network in all of {studies}, though it is called so: {names}. The "
                "code of the network has changed between them.",
                studies=group.title,
                names=listed(other),
            )
            told.append(Note(text, "warning"))
    return tuple(told)
