"""What people see of a search: Optuna's real dashboard, the report's section, the command line."""

from __future__ import annotations

import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.report_frames import TWO, make_frames
from support.search_processes import Instant, real_plan, run_search, search_plan

from ablate.execute import make_executor
from ablate.page import canvas
from ablate.page.document import Document, Section
from ablate.page.html import markdown
from ablate.report.gallery import draw_section
from ablate.report.search.figures import expected_best
from ablate.report.search.section import search_blocks
from ablate.report.summary import summarize
from ablate.result.search import ConfirmedResult, SearchResult
from ablate.search.dashboard import serve
from ablate.search.record import read_search
from ablate.search.storage import open_storage
from ablate.stats import words
from ablate.stats.selection import told_fresh
from ablate.store.writing.trials import TrialStore


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The databases of a search whose runs were really trained."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch, make_executor("inprocess", 1) as executor:
        patch.setenv("ABLATE_CACHE", str(folder / "cache"))
        run_search(real_plan(), folder, executor)
    return folder


@contextmanager
def dashboard(folder: Path, *options: str) -> Iterator[tuple[str, str]]:
    """`ablate dashboard` in a process of its own: its address, and the line that says it."""
    command = [sys.executable, "-m", "ablate", "dashboard", "--db", str(folder / "r.db"), *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if line.startswith("dashboard: "))
            yield re.findall(r"http://127\.0\.0\.1:\d+/", line)[0], line
        finally:
            process.terminate()  # a shell in the background hands on no Ctrl-C
            assert process.wait(30) == 0


def page(chromium: str, address: str, folder: Path, *wanted: str) -> str:
    """What a person reads on a page once its scripts have drawn it: its data may come later than the browser
    waits on a busy machine, so whoever wants words looks again, as a person would.
    """
    for _ in range(3):
        found = _drawn(chromium, address, folder)
        if all(word in found for word in wanted):
            break
    return found


def _drawn(chromium: str, address: str, folder: Path) -> str:
    switches = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-sync", "--disable-component-update",
                "--window-size=1600,2400", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000",
                "--dump-dom"]  # fmt: skip
    drawn = subprocess.run(
        [chromium, *switches, address], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    return re.sub(r"\s+", " ", re.sub(r"<style.*?</style>|<[^>]+>", " ", drawn, flags=re.DOTALL))


@pytest.mark.slow
def test_the_front_and_the_trials_of_a_real_search_are_seen_in_the_real_dashboard(
    searched: Path, tmp_path: Path, chromium: str
) -> None:
    with dashboard(searched, "--port", "18080") as (address, _):
        studies = fetched(f"{address}api/studies")["study_summaries"]
        (study,) = studies
        assert study["directions"] == ["maximize", "minimize"]
        headings = (
            "Pareto Front",
            "Hyperparameter Importance",
            "History",
            "Best Trial",
        )  # one, or several of a front
        shown_at = f"{address}dashboard/studies/{study['study_id']}"
        front = page(chromium, shown_at, tmp_path, *headings)
        for heading in headings:
            assert heading in front
        assert re.search(
            r"Objective X: val_accuracy, not confirmed .* Objective Y: parameters",
            front,
        )
        trials = page(chromium, f"{shown_at}/trials", tmp_path, "2 Trials", "Trial 1 Complete")
        assert "2 Trials" in trials, "the space has two networks, and each is tried once"
        assert all(f"Trial {number} Complete" in trials for number in range(2))
        for shown in (
            "variant se(pool",
            "run keys [",
            "selection seeds [1]",
            "training images/s",
            "links [",
        ):
            assert shown in trials
        asked = fetched(f"{address}api/studies/{study['study_id']}")
        told = [{each["key"] for each in trial["user_attrs"]} for trial in asked["trials"]]
        assert all({"variant", "run keys"} <= keys for keys in told), "they come with every trial"
        assert len(told) == 2


@pytest.mark.slow
def test_learning_curves_are_seen_in_the_real_dashboard(tmp_path: Path, chromium: str) -> None:
    run_search(search_plan(trials=8, pruner="median"), tmp_path, Instant(worse="k=7"))
    with dashboard(tmp_path, "--port", "18090") as (address, _):
        seen = page(chromium, f"{address}dashboard/studies/1", tmp_path)
    curves = seen.partition("Intermediate values")[2]
    assert "trial #0" in curves
    assert "trial #7" in curves


@pytest.mark.slow
def test_the_dashboard_answers_its_own_pages_on_this_machine_only(tmp_path: Path) -> None:
    run_search(search_plan(trials=1), tmp_path, Instant())
    storage = open_storage(f"sqlite:///{tmp_path / 'optuna.db'}", create=False)
    first = serve(storage, 18180)
    assert first.startswith("http://127.0.0.1:")
    assert serve(storage, int(first.rsplit(":", 1)[1].strip("/"))) != first, "the next free port"
    assert fetched(f"{first}api/studies")["study_summaries"]
    for header in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetched(f"{first}api/studies", header)


def fetched(address: str, headers: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(address, headers=headers or {})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


# ── the report ────────────────────────────────────────────────────────────────────────────────────


def told(folder: Path, **search: Any) -> SearchResult:
    plan = search_plan(trials=12, objectives=["val_accuracy", "parameters"], **search)
    searcher = run_search(plan, folder, Instant()).searcher
    assert plan.study.search is not None
    store = TrialStore(f"sqlite:///{folder / 'r.db'}")
    found = read_search(store, searcher.parts.key, plan.study.search)
    assert found is not None
    return found


@pytest.mark.slow
def test_the_report_tells_a_search(tmp_path: Path) -> None:
    found = told(tmp_path)
    assert set(found.importances) == {"fANOVA", "PED-ANOVA"}
    for shares in found.importances.values():
        assert sum(shares.values()) == pytest.approx(1)
    assert found.trials[-1].spent == 2 * found.candidates
    confirmed = ConfirmedResult("se(pool1, r=2)", "f1", 0.9, 0.88, 0.87, 0.89, 5)
    shown = replace(found, confirmed=(confirmed,))
    summary = summarize(make_frames(TWO))
    with canvas.style():
        drawn = draw_section("search", replace(summary, search=shown))
    verdict = next(each.effect for each in summary.variants if each.name == "up")
    assert verdict is not None
    blocks = search_blocks(shown, drawn, {"f1": verdict})
    document = Document("", "", (), "", (Section("search", "Search", blocks),))
    section = markdown(document)
    assert f"They were picked from {found.candidates} variants" in section
    assert "87.00 % to 89.00 %" in section
    assert "+2.00 points" in section
    row = next(line for line in section.splitlines() if line.startswith("| se(pool1, r=2) | 5"))
    assert f"| {verdict.verdict}" in row
    assert words.span(verdict.low, verdict.high) in row
    # Fresh seeds of the same validation images: what they take away, and what not.
    assert told_fresh() in section
    assert "a grey one is not shown to be dominated" in section
    pictures = {figure.name: figure.picture.png for figure in document.figures}
    for name in ("history", "front", "slices", "budget"):
        assert pictures[f"search-{name}"].startswith(b"\x89PNG")
        assert f"figures/search-{name}.png" in section
    assert "fANOVA" in section


def test_the_expected_best_is_the_mean_over_all_subsets() -> None:
    values = [0.3, 0.9, 0.5, 0.7, 0.7]
    for m, expected in enumerate(expected_best(values), start=1):
        best = [max(subset) for subset in itertools.combinations(values, m)]
        assert expected == pytest.approx(statistics.fmean(best))
