"""A last batch of one image: left out, said, known to the key; no network with batch norm fails by it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import Shell, small_plan
from support.picture_sets import picture_set

from ablate.study import Recipe, run_key
from ablate.study.batches import epoch_images, left_out
from ablate.train.data import load_data, train_batches

STUDY = """\
name = "odd"
dataset = "images"
backbone = "torchvision:resnet18"
seeds = 1
[recipe]
epochs = 1
batch_size = 13
validation_fraction = 0.1
precision = "fp32"
augment = []
[[grid]]
attention = "none"
"""
SAID = "the last batch of 13 would be of one image: each epoch leaves one out"


@pytest.mark.parametrize(
    ("images", "batch_size", "accumulate", "alone"),
    [(14, 13, 1, 1), (15, 13, 1, 0), (13, 13, 1, 0), (27, 13, 1, 1), (5, 13, 1, 0), (27, 13, 2, 1)],
)
def test_one_image_alone_is_left_out(
    images: int, batch_size: int, accumulate: int, alone: int
) -> None:
    recipe = Recipe(batch_size=batch_size, accumulate=accumulate)
    assert left_out(images, recipe) == alone
    assert epoch_images(images, recipe) == images - alone


def test_the_digits_in_batches_that_leave_one() -> None:
    """1,295 are trained on: 1,294 is 2 × 647. Every epoch leaves out another image, and none twice."""
    plan = small_plan(recipe={"batch_size": 647, "augment": []})
    recipe = plan.study.recipe
    assert plan.left_out == 1
    data = load_data(plan.dataset, recipe, torch.device("cpu"))
    sizes = [[len(labels) for _, labels in train_batches(data, recipe, 1, n)] for n in (1, 2)]
    assert sizes == [[647, 647], [647, 647]]
    sums = {
        float(sum(x.double().sum() for x, _ in train_batches(data, recipe, 1, n))) for n in (1, 2)
    }
    assert len(sums) == 2


def test_only_runs_that_leave_one_out_have_another_key() -> None:
    """Keys of others are those of before the rule, and are pinned elsewhere."""
    keys = {}
    for size in (647, 646):
        plan = small_plan(recipe={"batch_size": size})
        keys[size] = plan.cells[0].run_key
        content, side = str(plan.dataset.content_hash()), plan.dataset.image_size
        given = plan.cells[0].architecture.fingerprint, plan.study.recipe, content, side, 1
        assert (run_key(*given) == keys[size]) == (size == 646)
        assert run_key(*given, left_out=plan.left_out) == keys[size]


@pytest.mark.slow
def test_a_network_with_batch_norm_on_one_place_is_trained(shell: Shell) -> None:
    """14 images in batches of 13, at 32×32: maps of resnet18's last stage are 1×1."""
    (shell.folder / "odd.toml").write_text(STUDY)
    pictures: Path = picture_set(shell.folder / "set")
    assert len(list((pictures / "train").rglob("*.png"))) == 16
    code, out, _ = shell("plan", "odd.toml", "--data", "set")
    assert code == 0
    assert SAID in " ".join(out.split())
    run = ["run", "odd.toml", "--data", "set", "--no-measure", "--no-probe", "--device", "cpu"]
    code, out, err = shell(*run, "--executor", "inprocess")
    assert (code, "1 of 1 runs finished" in out) == (0, True), out + err
    assert SAID in " ".join(out.split())
