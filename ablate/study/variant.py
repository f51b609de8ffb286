"""Variant: one architecture, in names and numbers."""

from __future__ import annotations

from dataclasses import dataclass

NO_ATTENTION = "none"
SHORT_OPTION = {"reduction": "r", "kernel_size": "k"}
"""How options are written in a variant's name. These are written always; any other option of attention
stands in the name only where it differs from its default, so that a new option renames nothing."""

Option = int | float | str


def is_own_attention(name: str) -> bool:
    """Whether a name is that of a user's own attention, `mypkg.att:CoordAtt`, and not one of ours."""
    return ":" in name


def kinds_of(attention: str) -> tuple[str, ...]:
    """`"se+cbam"` → the kinds that it joins, one for each part of the position; of one kind that alone."""
    return tuple(kind.strip() for kind in attention.split("+"))


@dataclass(frozen=True, slots=True)
class Variant:
    """One architecture: a backbone with attention at given places. Names and numbers only.

    `attention` is one kind, or several joined by `+`, one for each part of the position.
    """

    backbone: str
    attention: str = NO_ATTENTION
    position: str | None = None
    options: tuple[tuple[str, Option], ...] = ()

    @property
    def name(self) -> str:
        """`none`, `se(pool3, r=16)`, `se+cbam(pool1+pool3, r=16, k=7)`."""
        if self.attention == NO_ATTENTION:
            return NO_ATTENTION
        options = [f"{SHORT_OPTION.get(key, key)}={value}" for key, value in self.options]
        return f"{self.attention}({', '.join([str(self.position), *options])})"

    def option(self, key: str) -> Option | None:
        """The value of one option, None where this variant has no such option."""
        return dict(self.options).get(key)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of attention: one, or one for each part of the position."""
        return kinds_of(self.attention)

    @property
    def own_kinds(self) -> tuple[str, ...]:
        """Those of them that are the user's, each once."""
        return tuple(dict.fromkeys(filter(is_own_attention, self.kinds)))

    def kind_at(self, part: int) -> str:
        """The kind at one part of the position."""
        kinds = self.kinds
        return kinds[part] if len(kinds) > 1 else kinds[0]
