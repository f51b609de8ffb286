"""Where the time of a training step goes, by operator."""

from __future__ import annotations

import pandas as pd

from ablate.page import canvas
from ablate.page.document import Figure
from ablate.page.format import short
from ablate.report.summary import Summary
from ablate.system.messages.language import N_, _

TOP_OPERATORS = 7
MAX_BARS = 12
OTHER = N_("other operators")


def operator_times(summary: Summary) -> pd.DataFrame:
    """Self time of one step by variant, device and operator: columns us, share and calls.

    Time on the device where there is one, else on the CPU. Bars that would not fit are left out:
    the baseline and the most expensive variants stay.
    """
    rows = summary.profile[summary.profile["path"] == "as_trained"]
    columns = ["variant", "device", "operator", "us", "share", "calls"]
    parts = []
    for (variant, device), group in rows.groupby(["variant", "device"]):
        on_device = group["self_device_us"].fillna(0).astype(float)
        us = on_device if on_device.sum() > 0 else group["self_cpu_us"].fillna(0).astype(float)
        by_operator = (
            group.assign(us=us).groupby("operator")[["us", "share", "calls"]].sum().reset_index()
        )
        if by_operator["us"].sum() > 0:
            parts.append(by_operator.assign(variant=str(variant), device=str(device)))
    if not parts:
        return pd.DataFrame(columns=columns)
    times = pd.concat(parts, ignore_index=True)[columns]
    order = bar_order(times, summary.baseline)[:MAX_BARS]
    place = pairs_of(times).map({pair: i for i, pair in enumerate(order)})
    kept = times.assign(place=place)[place.notna()]
    return kept.sort_values(["place", "us"], ascending=[True, False]).drop(columns="place")


def extremes(times: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The rows of the baseline and of the most expensive other variant on each device."""
    pairs = bar_order(times, baseline)
    kept = [pair for pair in pairs if pair[0] == baseline]
    for device in times["device"].unique():
        kept += [pair for pair in pairs if pair[0] != baseline and pair[1] == device][:1]
    return times[pairs_of(times).isin(kept)]


def profile_figure(summary: Summary) -> Figure | None:
    """Horizontal bars, one for each variant, stacked by operator or kernel."""
    times = operator_times(summary)
    if times.empty:
        return None
    traced = summary.profile[summary.profile["path"] == "as_trained"]
    profiled = len(traced[["variant", "device"]].drop_duplicates())
    devices = times["device"].nunique()
    called = times["variant"] + (" · " + times["device"] if devices > 1 else "")
    largest = times.groupby("operator")["us"].sum().nlargest(TOP_OPERATORS).index
    names = times["operator"].where(times["operator"].isin(largest), OTHER)
    table = times.assign(bar=called, name=names).pivot_table(
        index="bar", columns="name", values="us", aggfunc="sum", fill_value=0.0, sort=False
    )
    order = [*largest, *([OTHER] if OTHER in table else [])]
    figure, (ax,) = canvas.axes(1.6 + 0.18 * len(order) + 0.34 * len(table))
    colors = [*canvas.kinds(len(order) - (OTHER in order)), canvas.FAINT]
    left = pd.Series(0.0, index=table.index)
    for name, color in zip(order, colors, strict=False):
        width = table[name] / 1000
        most = 48 if canvas.is_narrow() else 60
        text = canvas.label(short(_(OTHER) if name == OTHER else str(name), most), most)
        bars = ax.barh(range(len(table)), width, left=left, color=color, height=0.68, label=text)
        for bar, called, ms in zip(bars, table.index, width, strict=True):
            canvas.tip(bar, _("{called}, {name}: {ms:,.3f} ms", called=called, name=name, ms=ms))
        left = left + width
    ax.set_yticks(
        range(len(table)), [canvas.two_lines(str(bar)) for bar in table.index], fontsize=8
    )
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set(xlabel=_("Self time of one training step (ms)"), ylabel="")
    columns = 1 if devices > 1 or canvas.is_narrow() else 2
    figure.legend(loc="outside lower left", ncols=columns, fontsize=8)
    return Figure(
        "profile",
        _(
            "Self time of one training step by operator, one bar for each profiled "
            "variant; the largest operators are in the tables below."
        ),
        _(
            "Profiled as trained on {devices}, apart from all timing. The profiler itself "
            "slows a step, so compare the bars with each other only.",
            devices=", ".join(map(str, times["device"].unique())),
        )
        + left_out(len(table), profiled),
        canvas.saved(figure),
        [
            {
                "bar": str(bar),
                "operator": str(name),
                "self_time_ms": float(table.loc[bar, name]) / 1000,
            }
            for bar in table.index
            for name in order
        ],
    )


def left_out(drawn: int, profiled: int) -> str:
    """That not every profiled variant is drawn, where it is so."""
    if drawn >= profiled:
        return ""
    return _(
        " Of {profiled} profiled variants the baseline and the {drawn} whose step "
        "takes longest are drawn; the database has all of them.",
        profiled=profiled,
        drawn=drawn - 1,
    )


def bar_order(times: pd.DataFrame, baseline: str) -> list[tuple[str, str]]:
    """(variant, device) pairs: the baseline first, then the most expensive ones."""
    totals = times.groupby(["variant", "device"])["us"].sum().sort_values(ascending=False)
    pairs = [(str(variant), str(device)) for variant, device in totals.index.tolist()]
    return sorted(pairs, key=lambda pair: pair[0] != baseline)


def pairs_of(times: pd.DataFrame) -> pd.Series:
    """(variant, device) of each row."""
    pairs = list(zip(times["variant"], times["device"], strict=True))
    return pd.Series(pairs, index=times.index, dtype=object)
