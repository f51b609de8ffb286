"""The sections of a report in their order: findings first, then what they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ablate.page import canvas
from ablate.page.document import Block, Document, Figure, Findings, Note, Section
from ablate.report import elsewhere, tables
from ablate.report.answer import answer
from ablate.report.cost import families, profiles, shares
from ablate.report.cost import tables as costs
from ablate.report.cost.front import front_blocks
from ablate.report.effects.began import began_blocks
from ablate.report.effects.contexts import context_blocks
from ablate.report.effects.controls import control_blocks
from ablate.report.effects.factors import factor_blocks
from ablate.report.effects.selection import selection_blocks
from ablate.report.files import reproduce
from ablate.report.findings import LEAKED, findings, margin_words, unmoved_in
from ablate.report.gallery import draw_all, of_section
from ablate.report.readable import MOST_LISTED, few_rows
from ablate.report.results import completeness, results_table
from ablate.report.search.section import search_blocks
from ablate.report.seen import flips
from ablate.report.seen.classes import class_blocks
from ablate.report.seen.images import doubts, image_blocks
from ablate.report.seen.metrics import metric_blocks
from ablate.report.summary import Summary
from ablate.result import RunStatus
from ablate.stats import Rule, words
from ablate.system.messages.context import context_name
from ablate.system.messages.language import N_, _, amount

MOST_NOTES = 12
Drawn = Mapping[str, Figure]
"""Every figure of a report, by name."""
MOST_FINDINGS = 6
"""So many stand there at once; the others are unfolded."""

READING = (
    N_("The ± of an accuracy is a 95 % Student t-interval over seeds."),
    N_(
        "Speed is measured apart from training, all variants by turns. “quick” is "
        "the short measurement that follows a run, “full” the long one of ablate "
        "measure. A ratio to the baseline is formed in each round; its interval is "
        "Student's t over fresh processes, on the logarithm. A ratio without an "
        "interval is that of the speeds. Devices, precisions and versions of torch "
        "are never pooled: each condition has a table of its own. MACs count one "
        "multiply-add as 1, for convolutions and matrix products."
    ),
)


def compose(summary: Summary, drawn: Drawn | None = None) -> Document:
    """The whole report of one study, with these figures; without any, they are drawn."""
    study = summary.study
    drawn = draw_all(summary) if drawn is None else drawn
    with canvas.style():
        sections = (
            Section("findings", _("The answer"), _findings(summary)),
            Section("results", _("Results by variant"), (results_table(summary),)),
            Section("began", _("Before any training"), began_blocks(summary)),
            Section("accuracy", _("Effects"), _accuracy(summary, drawn)),
            Section("controls", _("Against the controls"), control_blocks(summary)),
            Section("selection", _("The best by validation"), selection_blocks(summary)),
            Section("search", _("Search"), _search(summary, drawn)),
            Section(
                "contexts", _("Does it hold in the other contexts?"), _contexts(summary, drawn)
            ),
            Section("factors", _("Which place, which kind, which r"), _factors(summary, drawn)),
            Section(
                "cost",
                _("{heading} against cost", heading=summary.judged_by.heading),
                _cost(summary, drawn),
            ),
            Section("profile", _("Where the time goes"), _profile(summary, drawn)),
            Section("attention", _("What attention does"), _figures("attention", drawn)),
            Section("images", _("Images that attention changes"), _images(summary, drawn)),
            Section("training", _("Learning curves"), _training(summary, drawn)),
            Section("data", _("The images"), image_blocks(summary)),
            Section(
                "classes",
                _("Class by class"),
                class_blocks(summary, of_section("classes", drawn)),
            ),
            Section("metrics", _("Metrics beside accuracy"), metric_blocks(summary)),
            Section("completeness", _("How complete the study is"), _completeness(summary)),
            Section("failures", _("Failed runs"), _present(tables.failures_table(summary))),
            Section("aliases", _("The same network"), _present(tables.aliases_table(summary))),
            Section("reading", _("How to read this"), _reading(summary)),
            Section("layers", _("Parameters by layer"), _layers(summary)),
            Section("recipe", _("Recipe"), (_recipe(summary),)),
            Section("environment", _("How to reproduce this"), _environment(summary)),
        )
    return Document(
        title=str(study["name"]),
        question=str(study.get("question") or ""),
        facts=(
            *_context(study),
            (_("Dataset"), _dataset(study)),
            *_trained(summary),
            (_("Baseline"), summary.baseline),
            (_("Variants"), f"{len(summary.variants):,}"),
            *_setting(summary),
            *_finished(summary),
        ),
        banner=elsewhere.head(summary),
        sections=tuple(few_rows(section) for section in sections if section.blocks),
    )


def _trained(summary: Summary) -> tuple[tuple[str, str], ...]:
    if summary.elsewhere:
        return (elsewhere.fact(summary),)
    return ((_("Backbone"), str(summary.study.get("backbone") or "–")),)


def _setting(summary: Summary) -> tuple[tuple[str, str], ...]:
    setting = summary.study.get("setting")
    return ((_("Setting"), str(setting)[:8]),) if setting and not summary.elsewhere else ()


def _finished(summary: Summary) -> tuple[tuple[str, str], ...]:
    """How many runs there are; with folds how many trainings these are."""
    seeds = sum(v.n + v.besides for v in summary.variants)
    if summary.folds == 1:
        return ((_("Finished runs"), f"{seeds:,}"),)
    trained = int((summary.fold_runs["status"] == RunStatus.FINISHED).sum())
    return (
        (_("Folds"), _("{folds:,}, each image tested once", folds=summary.folds)),
        (_("Finished seeds"), _("{seeds:,} of all folds", seeds=seeds)),
        (_("Finished runs"), f"{trained:,}"),
    )


def _context(study: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Which of its study's contexts this is."""
    name = context_name(tuple((study.get("context") or {}).items()))
    return ((_("Context"), name),) if name else ()


def _dataset(study: Mapping[str, Any]) -> str:
    """What its images are called; with their content, where a study was run on others of that name."""
    content = _(" (content {content})", content=study["content"]) if study.get("content") else ""
    return str(study.get("dataset") or "–") + content


def _present(*blocks: Block | None) -> tuple[Block, ...]:
    return tuple(block for block in blocks if block is not None)


def _missing(text: str) -> tuple[Block, ...]:
    """A note in place of blocks that there are not."""
    return (Note(text, "warning"),)


def _figures(section: str, drawn: Drawn) -> tuple[Block, ...]:
    return tuple(of_section(section, drawn).values())


def _findings(summary: Summary) -> tuple[Block, ...]:
    found = findings(summary)
    lead = *answer(summary), *doubts(summary)
    first, rest = found[:MOST_FINDINGS], found[MOST_FINDINGS:MOST_LISTED]
    left, more = len(found) - len(first) - len(rest), amount(len(rest), "more finding")
    folded = _("{findings}, one for each variant", findings=more) + (
        _("; {left:,} are left out: variants.csv has all variants", left=left) if left else ""
    )
    shown = (Findings(first), *((Findings(rest, folded),) if rest else ())) if first else ()
    return (*lead, *shown)


def _completeness(summary: Summary) -> tuple[Block, ...]:
    notes = []
    short = [v.name for v in summary.variants if v.n < v.planned]
    if short:
        listed = ", ".join(short[:12]) + (" …" if len(short) > 12 else "")
        text = _(
            "{variants} with fewer finished runs than planned: {listed}.",
            variants=amount(len(short), "variant"),
            listed=listed,
        )
        notes.append(Note(text))
    if incomplete := _incomplete(summary):
        notes.append(Note(incomplete, "warning"))
    if len(summary.trained_on) > 1:
        listed = "; ".join(
            f"{place} ({amount(n, 'run')})" for place, n in summary.trained_on.items()
        )
        text = _(
            "Runs were trained under unlike conditions, which accuracies do not show: {listed}.",
            listed=listed,
        )
        notes.append(Note(text, "warning"))
    if summary.elsewhere:
        notes.extend(elsewhere.other_lengths(summary))
    unmoved = [text for variant in summary.variants if (text := unmoved_in(variant))]
    notes.extend(Note(text, "warning") for text in unmoved[:MOST_NOTES])
    if len(unmoved) > MOST_NOTES:
        left = amount(len(unmoved) - MOST_NOTES, "more variant")
        notes.append(Note(_("The same of {left}: see the table of results.", left=left), "warning"))
    return completeness(summary), *notes


def _incomplete(summary: Summary) -> str:
    """Which seeds have some of their folds; empty where there are none such."""
    runs = summary.runs
    begun = runs[(runs["folds_finished"] > 0) & (runs["status"] != RunStatus.FINISHED)]
    if summary.folds == 1 or begun.empty:
        return ""
    told = [
        _(
            "{variant}, seed {seed:g} ({n:g} of {folds})",
            variant=row["variant"],
            seed=row["seed"],
            n=row["folds_finished"],
            folds=summary.folds,
        )
        for row in begun.to_dict("records")
    ]
    listed = ", ".join(told[:12]) + (" …" if len(told) > 12 else "")
    return _(
        "A seed counts once all of its folds have finished; these do not yet: {listed}.",
        listed=listed,
    )


def _accuracy(summary: Summary, drawn: Drawn) -> tuple[Block, ...]:
    missing = _("No figure of {title}: no run has a value of it.", title=summary.judged_by.title)
    return _figures("accuracy", drawn) or _missing(missing)


def _cost(summary: Summary, drawn: Drawn) -> tuple[Block, ...]:
    on_paper = _present(tables.operations_table(summary))
    known = any(v.parameters is not None for v in summary.variants) or not summary.elsewhere
    shown = (*_figures("cost", drawn), *(front_blocks(summary) if known else ()))
    blocks = (*shown, *costs.cost_tables(summary), *on_paper)
    if summary.elsewhere:
        return blocks
    if not summary.speed_columns:
        text = _("No speed was measured for this study: ablate run does it after training.")
        blocks = (*blocks, Note(text, "warning"))
    return blocks or _missing(_("No figure of cost: no run has finished."))


def _search(summary: Summary, drawn: Drawn) -> tuple[Block, ...]:
    if summary.search is None:
        return ()
    networks = zip(summary.runs["fingerprint"], summary.runs["variant"], strict=True)
    found = summary.confirmed
    verdicts = {str(each): found[name] for each, name in networks if name in found}
    figures = of_section("search", drawn)
    return search_blocks(summary.search, figures, verdicts, costs.told_by_variant(summary))


def _images(summary: Summary, drawn: Drawn) -> tuple[Block, ...]:
    shown = flips.blocks(summary, of_section("images", drawn))
    return elsewhere.images_numbered(shown) if summary.elsewhere else shown


def _training(summary: Summary, drawn: Drawn) -> tuple[Block, ...]:
    if summary.elsewhere:
        return _figures("training", drawn)
    missing = _("No finished run has left a training history.")
    return _figures("training", drawn) or _missing(missing)


def _profile(summary: Summary, drawn: Drawn) -> tuple[Block, ...]:
    times, by_module = profiles.operator_times(summary), families.module_times(summary)
    chosen = profiles.extremes(times, summary.baseline)
    figures = of_section("profile", drawn)
    found = _present(
        figures.pop("families", None),
        shares.attention_table(by_module, summary),
        *figures.values(),
        *tables.profile_tables(chosen),
    )
    if summary.elsewhere:
        return found
    missing = _("No profile was taken for this study: ablate run does it after training.")
    return (*(found or _missing(missing)), *shares.reasons(summary))


def _layers(summary: Summary) -> tuple[Block, ...]:
    table = tables.layers_table(summary)
    if summary.elsewhere:
        return _present(table)
    return _present(table) or _missing(_("The layers of this study are not known yet."))


def _reading(summary: Summary) -> tuple[Block, ...]:
    speed = () if summary.elsewhere else (_(READING[-1]),)
    told = (*_verdict_words(summary), *speed, *canvas.english_words())
    notes = tuple(Note(text) for text in told)
    if summary.elsewhere:
        return (*notes, Note(elsewhere.seeds_told(summary)))
    if summary.pairing is None:
        return notes
    text = _(
        "Variants of one seed share initialisation, batches and augmentation. The "
        "correlation of {title} by seed with the baseline is {pairing:+.2f} in this "
        "study: the higher, the more seeds as blocks see.",
        title=summary.judged_by.title,
        pairing=summary.pairing,
    )
    return (*notes, Note(text.replace("-", "−", 1) if summary.pairing < 0 else text))


def _verdict_words(summary: Summary) -> tuple[str, ...]:
    """How verdicts come about, by the rules that were used; of a test-leaked study there are none."""
    if summary.leaked:
        return (_(LEAKED),)
    judged = [v.effect for v in summary.tested if v.effect]
    if not summary.paired:  # what is said of seeds instead stands at the end
        judged = [effect for effect in judged if effect.rule is not Rule.UNPAIRED]
    rules = words.reading(judged)
    folds = () if summary.folds == 1 else (words.told_folds(summary.folds),)
    return (
        f"{_(READING[0])} {_(words.READING[0])}",
        _(words.READING[1]),
        *folds,
        *rules,
        _("The margin of equivalence is the {margin}.", margin=margin_words(summary)),
    )


def _factors(summary: Summary, drawn: Drawn) -> tuple[Block, ...]:
    return factor_blocks(summary, of_section("factors", drawn))


def _contexts(summary: Summary, drawn: Drawn) -> tuple[Block, ...]:
    return context_blocks(summary.contexts, of_section("contexts", drawn))


def _recipe(summary: Summary) -> Block:
    return elsewhere.recipe_table(summary) if summary.elsewhere else tables.recipe_table(summary)


def _environment(summary: Summary) -> tuple[Block, ...]:
    if summary.elsewhere:
        about = elsewhere.steps(summary), elsewhere.files_table(summary)
        return (*about, *_present(reproduce.runs_table(summary)))
    table = tables.environment_table(summary)
    found = _present(table) or _missing(_("No environment is recorded."))
    return (*reproduce.steps(summary), *found, *_present(reproduce.runs_table(summary)))
