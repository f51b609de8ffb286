"""`ablate plan` beyond its table: what else a reader should know of the network."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from conftest import Shell

from ablate.commands.plan_table import notes
from ablate.plan import make_plan
from ablate.study.file import parse_study

STUDY = """
name = "own"
dataset = "digits"
backbone = "{backbone}"
seeds = 1
[[grid]]
attention = "none"
"""

NETWORKS = """
from torch import nn

class ECALayer(nn.Sequential):
    def __init__(self): super().__init__(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        print("built")
        self.a, self.eca, self.fc = nn.Conv2d(3, 8, 3), ECALayer(), nn.Linear(8, num_classes)
        self.unused = nn.Linear(8, 8)
    def forward(self, x):
        print("called")
        x = self.a(x)
        return self.fc((x * self.eca(x)).mean((2, 3)))
"""


def test_own_attention_is_named_once_with_what_takes_its_place() -> None:
    study = {
        "name": "own",
        "dataset": "digits",
        "backbone": "torchvision:mobilenet_v3_small",
        "grid": [{"attention": "none"}],
    }
    plan = make_plan(parse_study(study, "test"))
    [line] = notes(plan)
    assert line == (
        "this backbone has 9 SE blocks of its own: attention stands beside them, or in their place "
        'with position = "replace:features.*.block.*"'
    )


@pytest.mark.slow
def test_the_plan_as_json_stays_json_whatever_a_network_prints(
    shell: Shell, own_module: Callable[[str, str], None]
) -> None:
    own_module("printing", NETWORKS)
    with open("own.toml", "w") as file:
        file.write(STUDY.format(backbone="printing:Net"))
    code, out, errors = shell(
        "plan", "own.toml", "--allow-import", "printing", "--format", "json"
    )  # fmt: skip
    assert code == 0
    plan = json.loads(out)
    assert plan["own_attention"] == {"ECA": ["eca"]}
    assert plan["cells"][0]["uncounted"] == ["unused (not run on a black image)"]
    assert "built\ncalled\n" in errors
    _, out, _ = shell("plan", "own.toml", "--allow-import", "printing")
    assert "not counted, since a black image does not run it: unused" in out
