"""Where no run has finished because all failed, each command says so, and what trains them again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import message, small_plan

from ablate.commands.compare import compare_accuracies
from ablate.commands.profile import compare_times
from ablate.commands.several import build_several
from ablate.commands.take import Asked, take_network
from ablate.errors import DatabaseError, WeightsError
from ablate.explain.networks import load_networks
from ablate.plan import Plan
from ablate.result import Failed
from ablate.store.writing.store import Store

TOLD = "2 of its 2 runs failed (2 × diverged), and `ablate run` trains those again with --retry-failed alone"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return small_plan(backbone="cbam_cnn(width=0.25)")


@pytest.fixture(scope="module")
def url(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database in which every run has failed."""
    url = f"sqlite:///{tmp_path_factory.mktemp('failed') / 'results.db'}"
    store = Store(url)
    store.register(plan)
    for cell in plan.cells:
        [claim] = store.claim_cohort([str(cell.run_key)], 1, lambda _: 0)
        store.fail(claim, Failed("diverged", "the loss is nan"), {})
    store.close()
    return url


@pytest.mark.parametrize(
    "asked",
    [
        lambda plan, url, _: compare_accuracies("none", "se(pool1, r=8)", plan.study, None, url),
        lambda plan, url, _: compare_times("none", "se(pool1, r=8)", plan.study, None, url),
        lambda plan, url, _: build_several([[plan.study], [plan.study]], None, url, None),
        lambda plan, url, out: take_network(Asked("none", plan.study, url, out / "net")),
    ],
    ids=["compare", "profile", "report", "take"],
)
def test_a_command_names_what_failed_and_what_trains_it_again(
    plan: Plan, url: str, tmp_path: Path, asked: Callable[[Plan, str, Path], object]
) -> None:
    said = message((DatabaseError, WeightsError), lambda: asked(plan, url, tmp_path))
    assert TOLD in said
    assert "`ablate run` trains it" not in said


def test_pictures_of_an_untrained_network_say_that_its_runs_failed(plan: Plan, url: str) -> None:
    (network,) = load_networks(["none"], plan.study, plan.dataset, url)
    assert network.weights.startswith("untrained: no weights of a run of it are stored; ")
    assert network.weights.endswith(TOLD)
