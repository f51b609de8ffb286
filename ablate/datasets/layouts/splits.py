"""`train/<class>/…` beside `test/<class>/…`, `val/<class>/…` or both, at any depth and in any case."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from ablate.datasets.layouts.base import TEST_FRACTION, Arrangement, Asked, Tree, listed
from ablate.datasets.layouts.parts import TEST, TRAIN, VALIDATION, part_of
from ablate.errors import DataError, nearest


def find(tree: Tree, asked: Asked) -> Arrangement | None:
    """None where no folder `train` has one to test on beside it.

    Raises:
        DataError: several have, two folders are one part, or `data.test` names none.
    """
    if asked.labels is not None:
        return None
    above, folders = _parts(tree, asked.test)
    if above is None:
        return None
    if asked.test_fraction != TEST_FRACTION:
        raise DataError(
            f"{tree.source}: has {listed(folders.values())}, so data.test_fraction has nothing to hold out; "
            "leave it out, or name the folder to test on with data.test"
        )
    used = _roles(tree.source, folders, asked.test)
    return _arranged(tree, above, folders, used)


def _parts(tree: Tree, test: str | None) -> tuple[str | None, dict[str, str]]:
    """The folder that holds the parts (`set/`, or empty for the top) and they: part → its name. Another
    folder that `test` names counts as well.
    """
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for folder in sorted(tree.folders):
        above, _, name = folder.rpartition("/")
        part = "asked" if test is not None and name == test and not part_of(name) else part_of(name)
        if part is not None:
            found[f"{above}/" if above else ""][part].append(name)
    whole = {above: parts for above, parts in found.items() if TRAIN in parts and len(parts) > 1}
    inside = [
        f"{above}{name}/" for above, p in whole.items() for names in p.values() for name in names
    ]
    tops = sorted(above for above in whole if not above.startswith(tuple(inside)))
    if not tops:
        return None, {}
    if len(tops) > 1:
        raise DataError(
            f"{tree.source}: train and test must lie side by side once, and do in "
            f"{listed([top.rstrip('/') or 'the top folder' for top in tops])}; keep one, or give it as "
            "--data"
        )
    for names in whole[tops[0]].values():
        if len(names) > 1:
            raise DataError(
                f"{tree.source}: {listed(names)} are one part under two names; keep one"
            )
    return tops[0], {part: names[0] for part, names in sorted(whole[tops[0]].items())}


def _roles(source: str, folders: Mapping[str, str], test: str | None) -> dict[str, str]:
    """Part of a run → the folder's part that is used as such."""
    usual = TEST if TEST in folders else VALIDATION
    tested = usual if test is None else part_of(test) or "asked"
    if tested not in folders or tested == TRAIN:
        there = [name for part, name in folders.items() if part != TRAIN]
        raise DataError(
            f"{source}: has no {test}/ to test on (data.test){nearest(str(test), there)}; there is "
            f"{listed(there)}"
        )
    kept_out = {VALIDATION: VALIDATION} if VALIDATION in folders and tested != VALIDATION else {}
    return {TRAIN: TRAIN, **kept_out, TEST: tested}


def _arranged(
    tree: Tree, above: str, folders: Mapping[str, str], used: Mapping[str, str]
) -> Arrangement:
    tops = {f"{above}{folders[part]}/": role for role, part in used.items()}
    places, unplaced, beside, loose = {}, set(), set(), set()
    for name in tree.files:
        top, inner = _split_at(name, above)
        role = tops.get(top)
        if not top:
            loose.add(name)
        elif role is None:
            beside.add(top.rstrip("/"))
        elif "/" in inner:
            places[name] = f"{role}/{inner}"
        else:
            unplaced.add(name)
    classes = {
        f"{tops[top]}/{inner}"
        for folder in tree.folders
        for top, inner in [_split_at(folder, above)]
        if top in tops and inner and "/" not in inner
    }
    told = _told(folders, used, above, sorted(beside))
    return Arrangement(
        places, frozenset(classes), frozenset(unplaced), told=told, loose=frozenset(loose)
    )


def _split_at(name: str, above: str) -> tuple[str, str]:
    """`set/train/cat/1.jpg` → `set/train/` and `cat/1.jpg`; a file that lies in no folder there has no
    top.
    """
    if not name.startswith(above):
        return (name.partition("/")[0] if "/" in name else ""), ""
    folder, slash, inner = name[len(above) :].partition("/")
    return (f"{above}{folder}/", inner) if slash else ("", "")


def _told(
    folders: Mapping[str, str], used: Mapping[str, str], above: str, beside: list[str]
) -> tuple[str, ...]:
    usual = dict(used) == {TRAIN: TRAIN, TEST: TEST} and folders[TEST] == TEST
    kept_out = (
        f"validation on {folders[VALIDATION]}/"
        if VALIDATION in used
        else "validation on a part of it"
    )
    where = f" in {above}" if above.count("/") > 1 else ""
    tested = folders[used[TEST]]
    chosen = "" if used[TEST] == TEST else f' (data.test = "{tested}")'
    said = f"parts{where}: training on {folders[TRAIN]}/, {kept_out}, test on {tested}/{chosen}"
    rest = f"not used: {listed(beside)}"
    return (*(() if usual and not where else (said,)), *((rest,) if beside else ()))
