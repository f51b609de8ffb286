"""A user's own attention beside ours: what a run of it is named by, and that it is trained as every other."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import rows_of, small_plan
from support.disturbed import Disturbed

from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.execute import make_executor
from ablate.explain.explanation import Request, explain_networks
from ablate.model import build
from ablate.network.fresh import _shared_by_attention
from ablate.network.repeats import check_attention_repeats
from ablate.plan import Plan
from ablate.result import Epoch
from ablate.store.writing.store import Store
from ablate.system.software.imports import ALLOWED

SUPPORT = Path(__file__).parents[1] / "support"
ATT = """
from torch import nn
from ownatt.helper import squashed

class Att(nn.Module):
    def __init__(self, channels, reduction=4, scale=1.0):
        super().__init__()
        self.scale = scale
        self.fc = nn.Sequential(nn.Conv2d(channels, max(1, channels // reduction), 1), nn.ReLU(),
                                nn.Conv2d(max(1, channels // reduction), channels, 1))
        print("building")

    def forward(self, x):
        return x * squashed(self.fc(x.mean((2, 3), keepdim=True))) * self.scale

class Still(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(__import__("torch").ones(channels, 1, 1))

    def forward(self, x):
        return x * (self.weight * 1e-30 + 1)
"""
HELPER = "def squashed(x): return x.sigmoid()\n"
EDITED = "def squashed(x): return x.tanh()\n"
NONE = {"attention": "none"}
SE = {"attention": "se", "position": "pool1", "reduction": 4}
OWN = {"attention": "ownatt.att:Att", "position": "pool1", "reduction": 2}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "ownatt"
    folder.mkdir()
    for name, text in {"__init__": "", "att": ATT, "helper": HELPER, "other": ""}.items():
        (folder / f"{name}.py").write_text(text)
    shutil.copy(SUPPORT / "public_attention.py", folder / "public.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(ALLOWED, "ownatt")
    forget()
    yield folder
    forget()


def forget() -> None:
    """As in a new process."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "ownatt"]:
        del sys.modules[name]
    _shared_by_attention.cache_clear()
    check_attention_repeats.cache_clear()


def planned(*grid: dict[str, Any], **changes: Any) -> Plan:
    recipe = {"epochs": 2, "augment": [], "precision": "fp32", "learning_rate": 0.01}
    settings = {"backbone": "cbam_cnn(width=0.25)", "seeds": 1, "image_size": 16, **changes}
    return small_plan(grid=list(grid), recipe=recipe, **settings)


def keys(plan: Plan) -> dict[str, str | None]:
    return {cell.variant.name: cell.run_key for cell in plan.cells}


def train(
    plan: Plan, url: str, executor: str = "inprocess", progress: Disturbed | None = None, **how: Any
) -> dict[str, tuple[Any, ...]]:
    store = Store(url)
    store.register(plan)
    store.retry_failed([str(cell.run_key) for cell in plan.cells])
    with make_executor(executor, 1) as made:
        options = TrainingOptions(device="cpu", **how)
        Driver(plan, store, made, progress or Disturbed(None, None), options).run()
    store.close()
    found = rows_of(
        url,
        "SELECT v.variant, r.status, r.failure, r.test_accuracy, r.test_loss FROM v_runs v "
        "JOIN runs r USING (run_key)",
    )
    return {name: tuple(rest) for name, *rest in found}


def test_its_source_its_options_and_what_it_imports_count_and_nothing_else_changes(
    package: Path,
) -> None:
    before = keys(planned(NONE, SE, OWN))
    assert list(before) == ["none", "se(pool1, r=4)", "ownatt.att:Att(pool1, r=2)"]
    assert keys(planned(NONE, SE, OWN, name="other")) == before, "one run, in two studies"
    assert keys(planned(NONE, SE)) == {n: k for n, k in before.items() if "Att" not in n}
    own = before["ownatt.att:Att(pool1, r=2)"]
    found = {own}
    found.add(keys(planned(NONE, OWN | {"reduction": 4}))["ownatt.att:Att(pool1, r=4)"])
    scaled = keys(planned(NONE, OWN | {"scale": 2.0}))
    found.add(scaled["ownatt.att:Att(pool1, r=2, scale=2.0)"])
    assert len(found) == 3
    (package / "other.py").write_text("x = 1\n")
    assert keys(planned(NONE, SE, OWN)) == before, "it does not reach that file"
    for file, text in {"helper": EDITED, "att": ATT + "\n# another comment\n"}.items():
        (package / f"{file}.py").write_text(text)
        forget()
        after = keys(planned(NONE, SE, OWN))
        found.add(after["ownatt.att:Att(pool1, r=2)"])
        assert {n: k for n, k in after.items() if "Att" not in n} == {
            n: k for n, k in before.items() if "Att" not in n
        }
    assert len(found) == 5


def test_an_option_at_its_default_is_the_same_run(package: Path) -> None:
    plan = planned(NONE, OWN | {"reduction": [4]}, OWN | {"scale": [1, 1.0], "reduction": 4})
    assert list(keys(plan)) == ["none", "ownatt.att:Att(pool1, r=4)"]


def test_the_backbone_begins_as_that_of_every_other_variant(package: Path) -> None:
    plan = planned(NONE, SE, OWN)
    nets = [build(cell.variant, 10, 16, 1).state_dict() for cell in plan.cells]
    for name, value in nets[0].items():
        assert all(torch.equal(value, net[name]) for net in nets[1:])
    other = build(plan.cells[2].variant, 10, 16, 2).state_dict()
    mine = "pool1.attention.module.fc.0.weight"
    assert not torch.equal(nets[2][mine], other[mine]), "drawn from the seed"


@pytest.mark.slow
def test_public_modules_are_planned_and_trained_as_ours_are(
    package: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Alone and in a cohort they come to the same numbers."""
    names = ("CoordAtt", "SELayer", "SimAM", "ECALayer", "ContextBlock", "TripletAttention")
    grid = [{"attention": f"ownatt.public:{n}", "position": "pool*"} for n in names[1:]]
    grid += [{"attention": "ownatt.public:CoordAttTwice", "position": "pool1", "oup": "channels"}]
    grid[0]["reduction"] = 4
    plan = planned(NONE, *grid, OWN)
    together = train(plan, url, cohort=8)
    assert {status for status, *_ in together.values()} == {"finished"}
    alone = train(plan, url.replace("results", "alone"), cohort=1)
    assert alone == together
    assert "building" not in capsys.readouterr().out
    parameters = {n: a.attention_parameters for n, a in plan.variants.items()}
    assert parameters["ownatt.public:SimAM(pool*)"] == 0
    assert parameters["ownatt.public:SELayer(pool*, r=4)"] == sum(
        2 * c * (c // 4) for c in (8, 16, 32)
    )
    assert all(not architecture.uncounted for architecture in plan.variants.values())


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inprocess", pytest.param("local", marks=pytest.mark.slow)])
def test_source_that_changes_between_plan_and_start_fails_its_runs_alone(
    package: Path, url: str, executor: str
) -> None:
    plan = planned(NONE, OWN)

    def edit() -> None:
        (package / "helper.py").write_text(EDITED)
        forget()

    found = train(plan, url, executor, Disturbed(edit, None), cohort=2)
    assert found["none"][0] == "finished"
    assert found["ownatt.att:Att(pool1, r=2)"][:2] == ("failed", "network_changed")
    [(error,)] = rows_of(url, "SELECT error FROM runs WHERE error IS NOT NULL")
    assert error.startswith(
        "ownatt.att:Att: is not the attention that this run was planned with (other source "
        "ownatt.helper): bring it back"
    )


@pytest.mark.slow
def test_a_run_goes_on_from_its_checkpoint_to_the_same_bytes(package: Path, url: str) -> None:
    plan = planned(NONE, OWN)
    whole = train(plan, url.replace("results", "whole"))

    class Stopped(Disturbed):
        def epoch(self, cell: object, epoch: Epoch) -> None:
            if epoch.epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(plan, url, progress=Stopped(None, None), checkpoint_seconds=0)
    progress = Disturbed(None, None)
    assert train(plan, url, progress=progress) == whole
    assert 1 in progress.resumes


@pytest.mark.slow
def test_attention_that_training_never_moved_is_told(package: Path, url: str) -> None:
    plan = planned(NONE, {"attention": "ownatt.att:Still", "position": "pool1"})
    train(plan, url)
    told = rows_of(url, "SELECT variant, unmoved_attention FROM v_runs ORDER BY variant")
    assert dict(told) == {"none": "", "ownatt.att:Still(pool1)": "pool1.attention"}


@pytest.mark.slow
def test_a_gate_is_shown_where_it_is_one_and_else_it_is_said_to_be_unknown(package: Path) -> None:
    """What is added has no gate, and none is guessed."""
    grid = [{"attention": f"ownatt.public:{n}", "position": "pool1"} for n in ("SELayer", "SimAM")]
    grid.append({"attention": "ownatt.public:ContextBlock", "position": "pool1"})
    grid[0]["reduction"] = 4
    plan = planned(NONE, *grid)
    wanted = tuple(plan.names[1:])
    found = explain_networks(Request(wanted, plan.study, "sqlite:///none.db", samples=1))
    gates = [seen.gates[0] for seen in found.seen]
    assert gates[0].channel is not None
    assert gates[0].kind == "SELayer"
    assert [(g.channel, g.spatial) for g in gates[1:]] == [(None, None)] * 2
    assert [(row.network, row.kind) for row in found.gates] == [(wanted[0], "channel")]
