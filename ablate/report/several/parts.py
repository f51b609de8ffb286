"""Several studies in one report: what each of them is, which may be compared, and which runs they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ablate.page import format as fmt
from ablate.report.effects.contexts import InContext, variants_of
from ablate.report.summary import Summary, VariantSummary
from ablate.result import RunStatus
from ablate.study.data import DATA_PROTOCOL
from ablate.study.own_code import METRIC_SOURCE
from ablate.study.recipe import PROTOCOL_DEFAULTS
from ablate.system.messages.language import N_, Said, _, noun

SHORT = 8
"""Digits of a content's hash that people are shown."""
MOST_FACTS = 6
WEIGHTS = {"weights": 60, "weights_sha256": SHORT}
"""What tells weights to begin with, and how much of it people are shown."""
DATA, CLASSES = N_("data set"), N_("classes")
NAMES = (
    DATA, CLASSES, N_("backbone"), N_("weights"), N_("image size"), N_("baseline"), N_("metric"),
)  # fmt: skip
"""Facts that people are told by these words; all others are keys of a study's file."""
Facts = Mapping[str, str]


@dataclass(frozen=True)
class Group:
    """Studies that may be compared with each other: their facts are the same."""

    facts: Facts
    parts: tuple[InContext, ...]

    @property
    def title(self) -> str:
        """`digits and digits-b`."""
        return listed([part.name for part in self.parts])


def make_parts(found: Sequence[tuple[Summary, str]]) -> list[InContext]:
    """Each summary under a name of its own, its variants' runs counted once; with each the hash of its
    images.
    """
    known = [facts_of(summary, content) for summary, content in found]
    names = [_name_of(i, [summary for summary, _ in found], known) for i in range(len(found))]
    parts = [
        InContext((("study", name),), "", summary, content, called=name)
        for name, (summary, content) in zip(names, found, strict=True)
    ]
    return _counted_once(parts)


def groups_of(parts: Sequence[InContext]) -> list[Group]:
    """The parts by what they are, in their order."""
    found: dict[tuple[tuple[str, str], ...], list[InContext]] = {}
    for part in parts:
        # The hash of images knows their classes; an older database does not know how many there are.
        facts = facts_of(part.summary, part.dataset_hash)
        key = tuple((name, value) for name, value in facts.items() if name != CLASSES)
        found.setdefault(key, []).append(part)
    return [
        Group(facts_of(each[0].summary, each[0].dataset_hash), tuple(each))
        for each in found.values()
    ]


def facts_of(summary: Summary, dataset_hash: str) -> dict[str, str]:
    """Everything that must be the same where two numbers are to be compared: images with their classes,
    network, baseline, metric and recipe.
    """
    study = summary.study
    recipe: Mapping[str, Any] = {**PROTOCOL_DEFAULTS, **(study.get("recipe") or {})}
    data: Mapping[str, Any] = {**DATA_PROTOCOL, **(study.get("data") or {})}
    classes = {} if summary.data is None else {CLASSES: str(summary.data.classes)}
    begun = " ".join(str(study[key])[:n] for key, n in WEIGHTS.items() if study.get(key))
    source = (
        [str(study[METRIC_SOURCE])[:SHORT]]
        if summary.judged_by.is_own and METRIC_SOURCE in study
        else []
    )
    content = f" {dataset_hash[:SHORT]}" if dataset_hash else ""
    return {
        DATA: f"{study.get('dataset')}{content}",
        **classes,
        "backbone": str(study.get("backbone")),
        "weights": begun or fmt.MISSING,
        "image size": str(study.get("image_size")),
        "baseline": summary.baseline,
        "metric": " ".join((summary.metric, *source)),
        **{f"recipe.{key}": fmt.value(value) for key, value in sorted(recipe.items())},
        **{f"data.{key}": fmt.value(value) for key, value in sorted(data.items())},
    }


def differences(own: Facts, other: Facts) -> str:
    """What is not the same, in a line: `data set differs: digits 1a2b vs digits 9f3e`; empty where all is."""
    told = [_differs(key, own[key], other[key]) for key in differing(own, other)]
    left = len(told) - MOST_FACTS
    more = [_("and {left} more", left=left)] if left > 0 else []
    return _("; ").join([*told[:MOST_FACTS], *more])


def _differs(key: str, own: str, other: str) -> str:
    name = _(key) if key in NAMES else _called(key)
    message = N_("{name} differ: {own} vs {other}")
    if not key.endswith("s"):
        message = N_("{name} differs: {own} vs {other}")
    return _(message, name=name, own=own, other=other)


def differing(*facts: Facts) -> list[str]:
    """The facts that are known of all and not the same in all."""
    known = [key for key in facts[0] if all(key in each for each in facts)]
    return [key for key in known if len({each[key] for each in facts}) > 1]


def run_keys(summary: Summary, variant: str | None = None) -> frozenset[str]:
    """The finished runs of a study, or of one of its networks."""
    runs = summary.runs
    done = runs[(runs["status"] == RunStatus.FINISHED) & runs["test_accuracy"].notna()]
    mine = done if variant is None else done[done["variant"] == variant]
    return frozenset(mine["run_key"].astype(str))


def finished(parts: Sequence[InContext]) -> frozenset[str]:
    """The keys of all finished runs: one that several studies name is one."""
    return frozenset().union(*(run_keys(part.summary) for part in parts))


def networks(summary: Summary, variant: str) -> frozenset[str]:
    """The fingerprints of what was trained under a name: one, unless its code has changed meanwhile."""
    runs = summary.runs
    return frozenset(runs.loc[runs["variant"] == variant, "fingerprint"].dropna().astype(str))


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return _("{names} and {last}", names=noun(", ").join(names[:-1]), last=names[-1])


def _name_of(i: int, summaries: Sequence[Summary], facts: Sequence[Facts]) -> str:
    """The study's name, with what tells it apart from others of that name; programs read it too."""
    name = str(summaries[i].study["name"])
    same = [own for each, own in zip(summaries, facts, strict=True) if each.study["name"] == name]
    keys = differing(*same)[:MOST_FACTS]
    told = ", ".join(f"{_called(key)}={facts[i].get(key)}" for key in keys)
    return f"{name} ({told})" if told else name


def _called(key: str) -> str:
    """`epochs` of `recipe.epochs`."""
    return key.partition(".")[2] or key


def _counted_once(parts: Sequence[InContext]) -> list[InContext]:
    """With what each says of its variants' runs that another part counts: the one with more of them, of two
    with as many the one with the wider interval.
    """
    told: list[dict[str, str]] = [{} for _ in parts]
    for name in variants_of(parts):
        there = [i for i, part in enumerate(parts) if _effect_of(part, name) is not None]
        counted: list[tuple[InContext, frozenset[str]]] = []
        for i in sorted(there, key=lambda i: _order(parts[i], name)):
            own = _keys(parts[i], name)
            twice = next(((part, keys) for part, keys in counted if keys & own), None)
            if twice is None:
                counted.append((parts[i], own))
            else:
                told[i][name] = _of_another(own, twice[1], twice[0].name)
    return [replace(part, elsewhere=each) for part, each in zip(parts, told, strict=True)]


def _of_another(own: frozenset[str], others: frozenset[str], name: str) -> str:
    shared = len(own & others)
    if shared == len(own):
        return Said("the same runs as {name}: counted there", name=name)
    return Said(
        "{shared} of its {n} runs are of {name}: counted there",
        shared=shared,
        n=len(own),
        name=name,
    )


def _order(part: InContext, name: str) -> tuple[float, float]:
    variant = _effect_of(part, name)
    effect = variant.effect if variant else None
    if effect is None or effect.low is None or effect.high is None:
        return (0.0 if effect is None else -effect.n, 0.0)
    return (-effect.n, effect.low - effect.high)


def _effect_of(part: InContext, name: str) -> VariantSummary | None:
    variant = part.of(name)
    return variant if variant is not None and variant.effect is not None else None


def _keys(part: InContext, name: str) -> frozenset[str]:
    variant = part.of(name)
    return frozenset() if variant is None else run_keys(part.summary, variant.name)
