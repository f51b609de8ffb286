"""The networks that a study's search has asked for, for whoever measures them. No Optuna."""

from __future__ import annotations

from dataclasses import replace

from ablate.plan import Plan
from ablate.search.cells import CellMaker
from ablate.search.space import Space
from ablate.store.writing.trials import TrialStore, search_key


def with_searched(plan: Plan, url: str) -> Plan:
    """The plan with a cell more for each network that its study's search has asked for so far.

    Raises:
        DatabaseError: not ours, newer, or not to be opened.
    """
    study = plan.study
    if study.search is None:
        return plan
    store = TrialStore(url)
    try:
        content = str(plan.dataset.content_hash())
        brought = plan.sources, plan.weights_sha256
        key = search_key(study, plan.dataset.label, content, *brought)
        rows = store.trials(key)
    finally:
        store.close()
    maker = CellMaker(plan, Space(study.backbone, study.search.parameters))
    cells = {cell.architecture.fingerprint: cell for cell in plan.cells}
    for row in rows:
        cell = maker(dict(row.point), 1)
        cells.setdefault(cell.architecture.fingerprint, cell)
    new = [cell for cell in cells.values() if cell.variant.name not in plan.variants]
    variants = {**plan.variants, **{cell.variant.name: cell.architecture for cell in new}}
    return replace(plan, cells=(*plan.cells, *new), variants=variants)
