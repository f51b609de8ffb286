"""How a number looks: the one place for percent, points, counts, p-values and names.

Accuracies come in as fractions. A minus is U+2212, a missing value an en dash.
"""

from __future__ import annotations

import math

from ablate.stats import Interval, words
from ablate.system.messages.language import _

MISSING = words.MISSING
from_to = words.from_to


def percent(fraction: float | None, digits: int = 2) -> str:
    """0.83214 → `83.21 %`."""
    return MISSING if fraction is None else f"{_signless(100 * fraction, digits)} %"


def accuracy(interval: Interval | None) -> str:
    """A mean with its half-width, in percent: `83.21 ± 0.14`."""
    if interval is None:
        return MISSING
    half = interval.half_width
    # Equal seeds have no spread that an interval could be made of: ± 0.00 would claim that they are sure.
    return f"{100 * interval.mean:.2f}" + (f" ± {100 * half:.2f}" if half else "")


def p_value(p: float | None) -> str:
    """0.00004 → `< 0.001`; two digits otherwise."""
    if p is None:
        return MISSING
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def p_equation(p: float | None) -> str:
    """`p = 0.003` or `p < 0.001`, for a sentence."""
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def count(number: float | None) -> str:
    """1150896 → `1,150,896`."""
    return MISSING if number is None else f"{number:,.0f}".replace("-", "−")


def macs(number: float | None) -> str:
    """Multiply-adds of one image with three digits: 7_000_000 → `7.00 M`."""
    if number is None:
        return MISSING
    power = min(4, int(math.log10(number)) // 3) if number >= 1 else 0
    scaled = number / 1000**power
    digits = 0 if power == 0 or scaled >= 100 else 1 if scaled >= 10 else 2
    return f"{scaled:.{digits}f}" + ("", " k", " M", " G", " T")[power]


def speed(images_per_second: float | None) -> str:
    """Three significant digits below 100, whole images above: 12345.6 → `12,346`."""
    if images_per_second is None:
        return MISSING
    return f"{images_per_second:,.0f}" if images_per_second >= 100 else f"{images_per_second:.3g}"


def ratio(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """0.934 → `0.93×`, with its interval `0.93× (0.92 to 0.95)`."""
    text = MISSING if value is None else f"{value:.2f}×"
    return (
        text if low is None or high is None else f"{text} ({from_to(f'{low:.2f}', f'{high:.2f}')})"
    )


def change(times: float) -> str:
    """A ratio as a difference in percent: 1.0042 → `+0.4 %`."""
    text = f"{100 * (times - 1):+.1f}"
    return ("0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")) + " %"


def milliseconds(microseconds: float | None) -> str:
    """1234.5 µs → `1.235`."""
    return MISSING if microseconds is None else f"{microseconds / 1000:,.3f}"


def value(given: object) -> str:
    """A value of a recipe or an environment, as a person would write it."""
    if given is None or given == "":
        return MISSING
    if isinstance(given, bool):
        return _("yes") if given else _("no")
    if isinstance(given, (list, tuple)):
        return ", ".join(value(item) for item in given) or _("none")
    if isinstance(given, dict):
        return ", ".join(f"{key} = {value(item)}" for key, item in given.items()) or MISSING
    return f"{given:g}" if isinstance(given, float) else str(given)


def short(text: str, limit: int) -> str:
    """The first line of a text, cut to `limit` characters."""
    lines = text.strip().splitlines()
    line = lines[0] if lines else ""
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _signless(number: float, digits: int) -> str:
    return f"{number:.{digits}f}".replace("-", "−")
