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


@dataclass(frozen=True, slots=True)
class Variant:
    """One architecture: a backbone with attention at given places. Names and numbers only."""

    backbone: str
    attention: str = NO_ATTENTION
    position: str | None = None
    options: tuple[tuple[str, Option], ...] = ()

    @property
    def name(self) -> str:
        """`none`, `se(pool3, r=16)`, `cbam(pool*, r=16, k=7)`."""
        if self.attention == NO_ATTENTION:
            return NO_ATTENTION
        options = [f"{SHORT_OPTION.get(key, key)}={value}" for key, value in self.options]
        return f"{self.attention}({', '.join([str(self.position), *options])})"

    def option(self, key: str) -> Option | None:
        """The value of one option, None where this variant has no such option."""
        return dict(self.options).get(key)

    def options_at(self, part: int) -> dict[str, Option]:
        """The options at one part of the position: `"4+16"` is 4 at the first and 16 at the second."""
        return {key: _part(value, part) for key, value in self.options}


def _part(value: Option, part: int) -> Option:
    if isinstance(value, str) and "+" in value:
        return int(value.split("+")[part])
    return value
