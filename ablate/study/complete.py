"""A variant with its options written out: from the options that its attention has, no torch needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ablate.errors import OptionError, unknown
from ablate.study.options import complete_known, is_by_part, no_option
from ablate.study.position import pieces
from ablate.study.variant import NO_ATTENTION, SHORT_OPTION, Option, Variant, kinds_of

ELSEWHERE = "PACKAGE.MODULE:CLASS"
"""How attention of a user's own is named."""

Known = Mapping[str, Mapping[str, Any]]
"""Each kind of attention → its options with their defaults."""


def complete_variant(variant: Variant, known: Known) -> Variant:
    """The same variant with the options written out that say what is built: reduction and kernel size
    always, others where they differ from their defaults. The same kind in every part is written once.

    Raises:
        UnknownNameError: no such attention.
        OptionError: an option that none of its kinds has, a missing position, or not one kind for each part.
    """
    if variant.attention == NO_ATTENTION:
        return _without_attention(variant)
    kinds, position = _kinds(variant, known), _position(variant)
    name = "+".join(kinds)
    options = _options(name, kinds, dict(variant.options), known, position)
    return Variant(variant.backbone, name, position, tuple(options.items()))


def options_at(variant: Variant, part: int, known: Known) -> dict[str, Option]:
    """The options at one part of a position, of those that its kind has. A value by part goes to the parts
    that have the option, in their order: of `"4+16"` the first such part takes 4, the second 16.
    """
    kinds, found = variant.kinds, dict[str, Option]()
    for key, value in variant.options:
        number = part
        if len(kinds) > 1:
            if key not in known[kinds[part]]:
                continue
            number = sum(key in known[kind] for kind in kinds[:part])
        by_part = _goes_by_part(key, value, kinds, known)
        found[key] = int(str(value).split("+")[number]) if by_part else value
    return found


def check_kinds(attention: str) -> None:
    """Refuse "none" as one of several kinds.

    Raises:
        OptionError: says what to leave out.
    """
    kinds = kinds_of(attention)
    if len(kinds) > 1 and NO_ATTENTION in kinds:
        raise OptionError(
            f"attention {attention!r}: {NO_ATTENTION!r} joins with nothing; leave it out, and its part "
            "of the position too"
        )


def check_parts(attention: str, position: str) -> None:
    """Refuse several kinds that are not one for each part of the position.

    Raises:
        OptionError: says how many there are of each.
    """
    kinds, parts = len(kinds_of(attention)), len(pieces(position))
    if kinds not in (1, parts):
        raise OptionError(
            f"attention {attention!r} has {kinds} kinds, and the position {position!r} has "
            f"{parts} part{'s' * (parts > 1)}: give one kind for each part, or one for all"
        )


def _without_attention(variant: Variant) -> Variant:
    if variant.position is not None or variant.options:
        given = ", ".join(
            ["position"] * (variant.position is not None) + [k for k, _ in variant.options]
        )
        raise OptionError(
            f"attention {NO_ATTENTION!r} takes no {given}: give it a [[grid]] table of its own"
        )
    return variant


def _kinds(variant: Variant, known: Known) -> tuple[str, ...]:
    """The kinds of a variant; one if all are the same."""
    kinds = variant.kinds
    check_kinds(variant.attention)
    for kind in kinds:
        if kind not in known:
            alone = [NO_ATTENTION] if len(kinds) == 1 else []
            raise unknown("attention", kind, [*alone, *known, ELSEWHERE])
    return kinds if len(set(kinds)) > 1 else kinds[:1]


def _position(variant: Variant) -> str:
    """The position of a variant, of which each kind has a part."""
    if variant.position is None:
        example = "pool*" if len(variant.kinds) == 1 else "pool1+pool3"
        raise OptionError(f'{variant.attention} needs a position, for example "{example}"')
    check_parts(variant.attention, variant.position)
    return variant.position


def _options(
    name: str, kinds: tuple[str, ...], given: Mapping[str, Option], known: Known, position: str
) -> dict[str, Option]:
    """The options that stand in a variant's name."""
    keys = _keys(kinds, known)
    for key in given:
        if key not in keys:
            hint = ". Give other attention its own [[grid]] table"
            raise OptionError(f"{no_option(name, key, dict.fromkeys(keys))}{hint}")
    for kind in dict.fromkeys(kinds):
        its = {key: value for key, value in given.items() if key in known[kind]}
        complete_known(kind, known[kind], its, by_part=True)
    found = dict[str, Option]()
    for key in keys:
        defaults = [known[kind][key] for kind in kinds if key in known[kind]]
        value = given.get(key, _default(defaults))
        if _goes_by_part(key, value, kinds, known):
            _check_count(name, kinds, key, str(value), known, position)
        always = key in SHORT_OPTION and isinstance(value, (int, float, str))
        if always or (key in given and any(value != default for default in defaults)):
            found[key] = value
    return found


def _keys(kinds: tuple[str, ...], known: Known) -> list[str]:
    """The options of these kinds in their own order; of several what is always written comes first."""
    keys = list(dict.fromkeys(key for kind in kinds for key in known[kind]))
    if len(kinds) == 1:
        return keys
    first = [key for key in SHORT_OPTION if key in keys]
    return [*first, *(key for key in keys if key not in first)]


def _goes_by_part(key: str, value: Option, kinds: tuple[str, ...], known: Known) -> bool:
    """Whether each part has its own: not of an option that is text, as `scales="3+5"` of the user's own."""
    of_text = all(isinstance(known[kind][key], str) for kind in kinds if key in known[kind])
    return is_by_part(value) and not of_text


def _default(defaults: Sequence[Any]) -> Any:
    """What stands for an option that is not given: whole numbers from 0 that differ go by part, and for
    others there is no word, so that each kind takes its own.
    """
    if all(each == defaults[0] for each in defaults):
        return defaults[0]
    whole = all(type(each) is int and each >= 0 for each in defaults)
    return "+".join(map(str, defaults)) if whole else None


def _check_count(
    name: str, kinds: tuple[str, ...], key: str, value: str, known: Known, position: str
) -> None:
    parts, count = pieces(position), len(value.split("+"))
    each = kinds * len(parts) if len(kinds) == 1 else kinds
    having = [part for part, kind in zip(parts, each, strict=True) if key in known[kind]]
    if count == len(having):
        return
    if having == parts:
        raise OptionError(
            f"{name}: {key} {value!r} has {count} values, and the position {position!r} "
            f"{len(parts)}: give one for each part, or one for all"
        )
    raise OptionError(
        f"{name}: {key} {value!r} has {count} values, and of the position {position!r} only "
        f"{', '.join(having)} can have it: give one for each of these, or one for all"
    )
