"""Where a function of one variable is zero."""

from __future__ import annotations

import math
from collections.abc import Callable

ABSOLUTE = 2e-12
RELATIVE = 4 * 2.0**-52
MOST_STEPS = 100


def find_root(function: Callable[[float], float], low: float, high: float) -> float:
    """The zero between two points where the signs differ: that of `scipy.optimize.brentq`, whose module
    loads for as long as half of all that a plan needs.

    Source: Brent, Algorithms for Minimization without Derivatives, 1973, chapter 4, in SciPy's form.

    Raises:
        ValueError: the signs do not differ, or it does not converge.
    """
    before, now, across = low, high, 0.0
    f_before, f_now, f_across = function(before), function(now), 0.0
    if f_before == 0 or f_now == 0:
        return before if f_before == 0 else now
    if not _differ(f_before, f_now):
        raise ValueError(f"no change of sign between {low} and {high}")
    step = last_step = 0.0
    for _ in range(MOST_STEPS):
        if f_before != 0 and f_now != 0 and _differ(f_before, f_now):
            across, f_across, last_step = before, f_before, now - before
            step = last_step
        if abs(f_across) < abs(f_now):
            before, now, across = now, across, now
            f_before, f_now, f_across = f_now, f_across, f_now
        tolerance = (ABSOLUTE + RELATIVE * abs(now)) / 2
        half = (across - now) / 2
        if f_now == 0 or abs(half) < tolerance:
            return now
        last_step, step = _next_step(
            (before, now, across), (f_before, f_now, f_across), (last_step, step), tolerance
        )
        before, f_before = now, f_now
        now += step if abs(step) > tolerance else math.copysign(tolerance, half)
        f_now = function(now)
    raise ValueError(f"no zero found in {MOST_STEPS} steps between {low} and {high}")


def _next_step(
    at: tuple[float, float, float],
    values: tuple[float, float, float],
    steps: tuple[float, float],
    tolerance: float,
) -> tuple[float, float]:
    """The step before and the next one: of the secant or a hyperbola where it is short, else half the way."""
    (before, now, across), (f_before, f_now, f_across) = at, values
    half = (across - now) / 2
    if not (abs(steps[0]) > tolerance and abs(f_now) < abs(f_before)):
        return half, half
    if before == across:
        tried = -f_now * (now - before) / (f_now - f_before)
    else:
        slope = (f_before - f_now) / (before - now)
        other = (f_across - f_now) / (across - now)
        tried = -f_now * (f_across * other - f_before * slope)
        tried /= other * slope * (f_across - f_before)
    short = 2 * abs(tried) < min(abs(steps[0]), 3 * abs(half) - tolerance)
    return (steps[1], tried) if short else (half, half)


def _differ(one: float, other: float) -> bool:
    return math.copysign(1, one) != math.copysign(1, other)
