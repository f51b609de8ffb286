"""report.json: what a report says, for programs. Fractions, not points; documented in docs/report.md."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ablate.report.results import NOT_CLAIMED
from ablate.report.summary import Summary, VariantSummary
from ablate.stats import DEFAULT_MARGIN, Effect

_UNPRINTABLE = re.compile(r"[^\x20-\x7e\n]")


def json_text(content: Mapping[str, Any]) -> str:
    """JSON in which no character moves a cursor or turns a line; it means the same."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return _UNPRINTABLE.sub(_code, text) + "\n"


def _code(found: re.Match[str]) -> str:
    """A character that JSON may have in any text, by its number."""
    units = found[0].encode("utf-16-be", "surrogatepass")
    return (
        found[0]
        if found[0].isprintable()
        else "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
    )


def report_json(summary: Summary) -> str:
    """The effects of a study as JSON; keys are only ever added.

    Of a test-leaked study the differences alone are given: nothing is claimed from them.
    """
    return json_text(report_numbers(summary))


def contexts_json(study: str, contexts: Sequence[tuple[Mapping[str, Any], str, Summary]]) -> str:
    """The same of each context, with what is special to it and the folder of its own report."""
    each = [
        {"context": dict(context), "folder": folder, **report_numbers(summary)}
        for context, folder, summary in contexts
    ]
    return json_text({"study": study, "contexts": each})


def report_numbers(summary: Summary) -> dict[str, Any]:
    """What `report_json` writes."""
    study = summary.study
    return {
        "study": study["name"],
        "setting": study.get("setting"),
        "dataset": study.get("dataset"),
        "dataset_hash": summary.dataset_hash or None,
        "backbone": study.get("backbone") or None,
        "baseline": summary.baseline,
        "metric": f"test_{summary.metric}",
        "confidence": 0.95,
        "margin": DEFAULT_MARGIN if summary.margin is None else summary.margin,
        "margin_declared": summary.margin is not None,
        "test_leaked": summary.leaked,
        "trained_elsewhere": dict(summary.elsewhere) or None,
        "exploratory": summary.exploratory,
        "folds": None if summary.folds == 1 else summary.folds,
        "data": None if summary.data is None else summary.data.document(),
        "aliases": dict(study.get("aliases") or {}),
        "effects": [
            effect_document(variant, variant.effect, summary.leaked)
            for variant in summary.tested
            if variant.effect is not None
        ],
    }


def effect_document(variant: VariantSummary, effect: Effect, leaked: bool) -> dict[str, Any]:
    """Whether and how a variant differs; counts are of the runs that the difference rests on."""
    bare = {
        "variant": effect.variant,
        "n": effect.n,
        "n_baseline": effect.n_baseline,
        "difference": effect.difference,
    }
    if leaked:
        nothing = ("low", "high", "smallest_detectable", "rule")
        return bare | {"verdict": NOT_CLAIMED, **dict.fromkeys(nothing)}
    here = effect.here or (None, None)
    return bare | {
        "low": effect.low,
        "high": effect.high,
        "verdict": effect.verdict.value,
        "smallest_detectable": effect.smallest_detectable,
        "rule": effect.rule.value,
        "p_adjusted": effect.p_adjusted,
        "low_these_images": here[0],
        "high_these_images": here[1],
        "image_share": effect.spread.image_share if effect.spread else None,
        "seeds_for_margin": effect.seeds_for(effect.margin),
        "failed": variant.failed,
    }
