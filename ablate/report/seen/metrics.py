"""Every metric of every variant, beside what a network gets that says one class of everything."""

from __future__ import annotations

import statistics

import numpy as np

from ablate.page import format as fmt
from ablate.page.document import Block, Column, Note, Row, Table, TableCell
from ablate.report.summary import Summary
from ablate.study.metrics import METRICS, Metric, metric_stored
from ablate.system.messages.language import _, amount


def metric_blocks(summary: Summary) -> tuple[Block, ...]:
    """The share of the largest class, runs that say one class of everything, and the table."""
    notes = [_largest_class(summary), *_of_one_class(summary)]
    table = _table(summary)
    return (*(Note(*note) for note in notes if note), *((table,) if table is not None else ()))


def _largest_class(summary: Summary) -> tuple[str] | None:
    images = summary.images
    if images.labels is None or not len(images.labels):
        return None
    counts = np.bincount(images.labels, minlength=len(images.classes))
    largest, share = int(counts.argmax()), counts.max() / counts.sum()
    return (
        _(
            "Tested on {images} of {classes}. The largest class, {largest}, is {share} "
            "of them: a network that says nothing else has that accuracy, and a balanced "
            "accuracy of {balanced}.",
            images=amount(int(counts.sum()), "image"),
            classes=amount(len(counts), "class", "classes"),
            largest=images.classes[largest],
            share=fmt.percent(share),
            balanced=fmt.percent(1 / len(counts)),
        ),
    )


def _of_one_class(summary: Summary) -> list[tuple[str, str]]:
    """The variants with runs that said one class of every test image."""
    if len(summary.images.classes) < 2:
        return []
    runs = summary.runs[summary.runs["run_key"].isin(list(summary.images.said))]
    found = [
        (str(run.variant), summary.images.classes[said[0]])
        for run in runs.itertuples()
        if len(said := np.unique(summary.images.said[str(run.run_key)].predicted)) == 1
    ]
    return [
        (
            _(
                "{name}: {runs} said {class_name} of every test image.",
                name=name,
                runs=amount(found.count((name, of)), "run"),
                class_name=of,
            ),
            "warning",
        )
        for name, of in dict.fromkeys(found)
    ]


def _table(summary: Summary) -> Table | None:
    """Mean ± standard deviation over seeds of each metric; None where no run has stored them."""
    table = summary.metrics
    if table.empty:
        return None
    test = table[table["split"] == "test"].merge(summary.runs[["run_key", "variant"]], on="run_key")
    metrics = _metrics(set(map(str, test["metric"])))
    columns = (
        Column(_("Variant"), numeric=False),
        *(Column(metric.heading, _unit(metric)) for metric in metrics.values()),
    )
    values: dict[tuple[str, str], list[float]] = {}
    for variant, metric, value in zip(test["variant"], test["metric"], test["value"], strict=True):
        values.setdefault((variant, metric), []).append(float(value))
    rows = tuple(
        Row(
            (
                TableCell(each.name),
                *(_cell(values.get((each.name, name), []), metrics[name]) for name in metrics),
            ),
            marked=each.is_baseline,
        )
        for each in summary.finished
        if each.name in set(test["variant"])
    )
    caption = _(
        "Metrics of the test images, mean ± standard deviation over seeds. Verdicts "
        "are about {title}. AUROC: one class against the rest, mean over classes; "
        "calibration error: in 15 bins of confidence (Guo et al. 2017).",
        title=summary.judged_by.title,
    )
    return Table(caption, columns, rows) if rows else None


def _metrics(there: set[str]) -> dict[str, Metric]:
    """Those of these names of a database that are of all images: ours, and behind them the user's."""
    own = sorted(there - METRICS.keys())
    found = {name: metric_stored(name) for name in (*METRICS, *own) if name in there}
    return {name: metric for name, metric in found.items() if metric is not None}


def _unit(metric: Metric) -> str:
    if metric.is_fraction:
        return "%" if metric.higher_is_better else _("%, less is better")
    return _("nats, less is better")


def _cell(values: list[float], metric: Metric) -> TableCell:
    if not values:
        return TableCell(fmt.MISSING)
    digits, times = (2, 100) if metric.is_fraction else (3, 1)
    text = f"{times * statistics.fmean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ± {times * statistics.stdev(values):.{digits}f}"
    return TableCell(text)
