"""What the seeds of a study can see, before it is trained: for `ablate plan`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from ablate.plan import Plan
from ablate.stats import DEFAULT_MARGIN, words
from ablate.stats.plain import FEWEST_SEEDS
from ablate.stats.planning import MAX_SEEDS, Expected, Outlook, assumed, measured, outlook
from ablate.study.metrics import ACCURACY, Metric, metric_named
from ablate.system.messages.language import _, amount, retold
from ablate.system.messages.text import duration


def find_outlook(plan: Plan, url: str | None) -> Outlook | None:
    """What the plan's seeds can see, from runs in the database if there are some like its own; None where
    there is nothing that could be seen, and of other metrics than accuracy. Without `url` there is no
    database yet.
    """
    if plan.study.metric != ACCURACY:
        return None
    expected = _measured(plan, url) if url is not None else None
    if expected is None:
        images = plan.dataset.test_count()
        if images is None or images < 1:
            return None
        expected = assumed(images, folds=plan.study.data.folds)
    margin = plan.study.equivalence_margin or DEFAULT_MARGIN
    found = outlook(expected, len(plan.variants) - 1, plan.study.seeds, margin)
    folds = plan.study.data.folds
    if found is None or found.until_runs is None or folds is None:
        return found
    return replace(found, until_runs=folds * found.until_runs)


def _measured(plan: Plan, url: str) -> Expected | None:
    # Here, not above: the first plan of all needs no SQLAlchemy.
    from ablate.store.reading.samples import similar_samples

    content = plan.dataset.content_hash()
    if content is None:
        return None
    recipe = plan.study.conditions
    return measured(similar_samples(url, content, plan.study.backbone, recipe))


def told(plan: Plan, found: Outlook | None, seconds_per_run: float | None) -> Iterator[str]:
    """What these seeds can see, and what `--until-decided` would take, in words."""
    if plan.study.recipe.split == "tutorial":
        yield _('split = "tutorial": the schedule sees the test set, so no verdict will be claimed')
        return
    if found is None:
        yield _nothing(plan)
        return
    yield _("{told} ({source})", told=_can_see(found), source=retold(found.expected.source))
    yield _until(found, seconds_per_run)


def _nothing(plan: Plan) -> str:
    if len(plan.variants) < 2:
        return _("there is no variant besides the baseline, so there is nothing to compare")
    if plan.study.metric != ACCURACY:
        return _of_another_metric(metric_named(plan.study.metric), _fewest(plan))
    images = plan.dataset.test_count()
    if images is None:
        return _("what these seeds can see is not known before the images are read")
    return _(
        "{test_images} cannot bring a verdict: it takes two or more",
        test_images=amount(images, "test image"),
    )


def _fewest(plan: Plan) -> int:
    """The seeds that variants and baseline have, whichever have fewer."""
    return min(plan.study.seeds, plan.study.baseline_seeds or plan.study.seeds)


def _of_another_metric(metric: Metric, seeds: int) -> str:
    """Of what is judged by scores alone, that few seeds bring no verdict, before they are trained."""
    if not metric.of_predictions and seeds < FEWEST_SEEDS:
        return _(
            "{judged} is judged by its scores by seed, which bring a verdict from {fewest} seeds of each on, "
            "not with {seeds}",
            judged=metric.heading,
            fewest=FEWEST_SEEDS,
            seeds=seeds,
        )
    return _(
        "what these seeds can see of {judged} is not known before they are trained",
        judged=metric.title,
    )


def _can_see(found: Outlook) -> str:
    margin = words.size(found.margin)
    needed = found.seeds_for_margin
    takes = (
        _(
            "no number of seeds sees the margin of {margin} points on this many test images",
            margin=margin,
        )
        if needed is None
        else _(
            "the margin of {margin} points takes {seeds}",
            margin=margin,
            seeds=amount(needed, "seed"),
        )
    )
    if found.smallest_detectable is None:
        return _(
            "one seed of each compares trained networks and brings no verdict; {takes}", takes=takes
        )
    family = _(
        "{variants} × {seeds} on {images}",
        variants=amount(found.variants, "variant"),
        seeds=amount(found.seeds, "seed"),
        images=amount(found.expected.images, "test image"),
    )
    if found.smallest_detectable >= found.expected.room:
        return _(
            "{family} cannot see any difference that accuracy can have: no verdict; {takes}",
            family=family,
            takes=takes,
        )
    seen = words.size(found.smallest_detectable)
    return _(
        "{family} see differences ≥ {seen} points with 80 % power; {takes}",
        family=family,
        seen=seen,
        takes=takes,
    )


def _until(found: Outlook, seconds_per_run: float | None) -> str:
    if found.until_seeds is None or found.until_runs is None:
        return _(
            "--until-decided: no number of seeds shows on this many test images that a "
            "variant is equivalent; those that differ by more can be decided"
        )
    time = (
        ""
        if seconds_per_run is None
        else _(", about {time}", time=duration(seconds_per_run * found.until_runs))
    )
    beyond = (
        _(", beyond --max-seeds {most}", most=MAX_SEEDS) if found.until_seeds > MAX_SEEDS else ""
    )
    return _(
        "--until-decided takes about {runs} where no variant differs ({until_seeds} "
        "seeds of each{beyond}), fewer where some do{time}",
        runs=amount(found.until_runs, "run"),
        until_seeds=found.until_seeds,
        beyond=beyond,
        time=time,
    )


def document(found: Outlook | None, seconds_per_run: float | None) -> dict[str, Any] | None:
    """The same for a program, in fractions and seconds; None where there is nothing to see."""
    if found is None:
        return None
    values = asdict(found)
    expected = values.pop("expected")
    spread = {key: expected[key] for key in ("independent", "ratio", "image_variance", "images")}
    runs = found.until_runs
    seconds = None if seconds_per_run is None or runs is None else seconds_per_run * runs
    return {**values, "until_seconds": seconds, "spread": spread, "spread_from": expected["source"]}
