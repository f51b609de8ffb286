"""A package with trainers of a user's, and a plan of two variants that one of them trains."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import small_plan

from ablate.plan import Plan
from ablate.system.software.imports import ALLOWED

TRAIN = """
import functools, json, torch
from owntrain.helper import step

def plain(run, *, learning_rate=0.01, unused=()):
    print("begins")
    optimizer = torch.optim.SGD(run.network.parameters(), lr=learning_rate, momentum=0.9)
    run.keep(optimizer=optimizer)
    for epoch in run.epochs:
        for images, labels in run.batches(epoch):
            loss = step(run, optimizer, images, labels)
        yield loss

def late(run):
    optimizer = torch.optim.SGD(run.network.parameters(), lr=0.01)
    run.keep(optimizer=optimizer)
    for epoch in run.epochs:
        if epoch == 2:
            from owntrain import imported_late
        yield 1.0

def wrong(run):
    run.keep(optimizer=torch.optim.SGD(run.network.parameters(), lr=0.1))
    for epoch in run.epochs:
        run.network.layer4
        yield 1.0

def only_without_attention(run):
    run.keep(optimizer=torch.optim.SGD(run.network.parameters(), lr=0.1))
    names = dict(run.network.named_modules())
    assert not any("attention" in name for name in names), "no attention, please"
    for epoch in run.epochs:
        yield 1.0

def adds_a_head(run):
    run.network.head = torch.nn.Linear(3, 3)
    run.keep(optimizer=torch.optim.SGD(run.network.parameters(), lr=0.1))
    for epoch in run.epochs:
        yield 1.0

def fails_in_epoch_2(run):
    run.keep(optimizer=torch.optim.SGD(run.network.parameters(), lr=0.1))
    for epoch in run.epochs:
        if epoch == 2 and run.total_epochs > 2 and len(list(run.batches(epoch))) > 5:
            raise ValueError("epoch 2 is too much")
        yield 1.0

def needs(run, *, alpha):
    yield

def no_run(*, alpha=1):
    yield

def no_generator(run):
    return 3

class Trainer:
    pass

def misspells_what_it_sees(run):
    run.keep(optimizer=torch.optim.SGD(run.network.parameters(), lr=0.1))
    for epoch in run.epochs:
        seen = yield 1.0
        print(seen.acuracy)

def misspells_its_end(run):
    run.keep(optimizer=torch.optim.SGD(run.network.parameters(), lr=0.1))
    for epoch in run.epochs:
        yield 1.0
    run.network.load_averages()

def averages_after_the_yield(run):
    average = torch.optim.swa_utils.AveragedModel(run.network)
    run.keep(optimizer=torch.optim.SGD(run.network.parameters(), lr=0.1), average=average)
    for epoch in run.epochs:
        yield 1.0
        average.update_parameters(run.network)

def reads(run):
    json.loads("{")
    yield

def counted():
    calls, cache = [], {}
    def decorate(function):
        @functools.wraps(function)
        def called(run):
            calls.append(1)
            cache[len(calls)] = run.seed
            yield from function(run)
        return called
    return decorate

@counted()
def counts(run):
    run.keep(optimizer=torch.optim.SGD(run.network.parameters(), lr=0.1))
    for epoch in run.epochs:
        yield 1.0

def zeroes_at_its_end(run):
    optimizer = torch.optim.SGD(run.network.parameters(), lr=0.01)
    run.keep(optimizer=optimizer)
    for epoch in run.epochs:
        for images, labels in run.batches(epoch):
            step(run, optimizer, images, labels)
        yield
    with torch.no_grad():
        for each in run.network.parameters():
            each.zero_()
"""
HELPER = """
from torch.nn import functional as F

def step(run, optimizer, images, labels):
    loss = F.cross_entropy(run.network(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())
"""


def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the package, which may be imported."""
    folder = tmp_path / "owntrain"
    folder.mkdir()
    texts = {"__init__": "", "train": TRAIN, "helper": HELPER, "imported_late": "x = 1\n"}
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(ALLOWED, "owntrain")
    forget()
    yield folder
    forget()


def forget() -> None:
    """As in a new process."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "owntrain"]:
        del sys.modules[name]


def planned(trainer: str, epochs: int = 2, **changes: Any) -> Plan:
    """No attention, and SE after the first pool, of images of 16 pixels."""
    recipe = {"epochs": epochs, "augment": [], "precision": "fp32"}
    recipe["trainer"] = f"owntrain.train:{trainer}"
    grid = [{"attention": "none"}, {"attention": "se", "position": "pool1", "reduction": 4}]
    settings = {"backbone": "cbam_cnn(width=0.25)", "seeds": 1, "image_size": 16}
    return small_plan(grid=grid, recipe=recipe, **settings | changes)
