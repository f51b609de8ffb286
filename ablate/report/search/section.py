"""The section of a search: what was asked, what was found, what each parameter did, and at what price."""

from __future__ import annotations

from collections.abc import Mapping

from ablate.page.document import Block, Figure, Note
from ablate.report.search.quality import quality_of
from ablate.report.search.tables import (
    CostsByName,
    best_table,
    confirmed_table,
    importance_table,
)
from ablate.result.search import SearchResult
from ablate.stats import Effect
from ablate.study.metrics import ACCURACY, METRICS
from ablate.system.messages.language import N_, _, amount

STATES = {
    "raced": N_("{n} raced"),
    "pruned": N_("{n} pruned"),
    "infeasible": N_("{n} infeasible"),
    "failed": N_("{n} failed"),
}


def search_blocks(
    search: SearchResult,
    drawn: Mapping[str, Figure],
    verdicts: Mapping[str, Effect],
    costs: CostsByName | None = None,
) -> tuple[Block, ...]:
    """Everything that there is to say of a search; `drawn` are the figures of this section by name,
    `verdicts` those of fresh seeds by fingerprint, `costs` what its variants cost, as the other tables of
    the report say it.
    """
    first = [drawn.get(f"search-{name}") for name in ("history", "front", "slices")]
    blocks = (
        Note(_summary(search)),
        confirmed_table(search, verdicts),
        *first,
        importance_table(search),
        best_table(search, costs or {}),
        *(figure for figure in drawn.values() if figure not in first),
    )
    return tuple(block for block in blocks if block is not None)


def _summary(search: SearchResult) -> str:
    states = {s: sum(t.state == s for t in search.trials) for s in STATES}
    extra = ", ".join(_(STATES[state], n=n) for state, n in states.items() if n)
    trained = sum(t.trained for t in search.trials)
    variants = len({t.fingerprint for t in search.trials})
    others = _("accuracies") if quality_of(search).metric is METRICS[ACCURACY] else _("numbers")
    return _(
        "{trials}, asked by {sampler}, of {variants} with up to {seeds}{extra}: {runs} "
        "trained for the search. It sees validation images only; the {others} of the "
        "other sections are of test images.",
        trials=amount(len(search.trials), "trial"),
        sampler=search.sampler,
        variants=amount(variants, "variant"),
        seeds=amount(search.seeds, "seed"),
        extra=f" ({extra})" if extra else "",
        runs=amount(trained, "run"),
        others=others,
    )
