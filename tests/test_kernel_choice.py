"""Which path attention takes: measured when a database first needs it, the same ever after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import message, small_plan

from ablate import kernels
from ablate.execute import make_executor
from ablate.kernels import KernelError, choose_kernels
from ablate.plan import Plan
from ablate.store.store import Store
from ablate.train import precision

AMP = {"recipe": {"precision": "amp"}}


class Measured:
    """In place of the measurement: says what was asked for, and how often."""

    def __init__(self, **paths: str) -> None:
        self.paths, self.asked = paths, 0

    def __call__(self, device: str, precision: str) -> Any:
        self.asked += 1
        return self._job

    def _job(self) -> Iterator[dict[str, str]]:
        yield self.paths


def choose(plan: Plan, store: Store) -> dict[str, str]:
    with make_executor("inprocess", 1) as executor:
        return choose_kernels(plan, store, executor, "cpu")


@pytest.fixture
def store(url: str) -> Store:
    return Store(url)


def test_a_path_is_measured_once_and_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Measured(se="fused", cbam="plain")
    monkeypatch.setattr(kernels, "KernelChoice", first)
    assert choose(small_plan(**AMP), store) == {"se": "fused"}, "those that the plan uses"
    monkeypatch.setattr(kernels, "KernelChoice", Measured(se="plain"))
    assert choose(small_plan(**AMP), store) == {"se": "fused"}
    assert first.asked == 1


def test_of_two_that_measure_at_once_the_first_is_right(store: Store, url: str) -> None:
    assert store.choose_kernels("a device", "fp32", {"se": "fused"}) == {"se": "fused"}
    assert Store(url).choose_kernels("a device", "fp32", {"se": "plain"}) == {"se": "fused"}
    assert store.kernels("another", "fp32") == {}


def test_a_plan_without_attention_needs_no_measurement(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "KernelChoice", Measured())
    assert choose(small_plan(grid=[{"attention": "none"}], **AMP), store) == {}


def test_the_exact_precision_takes_the_plain_path(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    unasked = Measured(se="fused")
    monkeypatch.setattr(kernels, "KernelChoice", unasked)
    assert choose(small_plan(recipe={"precision": "fp32"}), store) == {}
    assert unasked.asked == 0
    assert precision.FP32.exact
    assert not precision.AMP_FP32.exact


def test_a_measurement_that_fails_is_one_line(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Iterator[Any]:
        raise ValueError("no clock")
        yield

    monkeypatch.setattr(kernels, "KernelChoice", lambda *_: broken)
    text = message(KernelError, lambda: choose(small_plan(**AMP), store))
    assert "measuring failed" in text
    assert "no clock" in text


def test_the_real_measurement_names_a_path_for_each(store: Store) -> None:
    assert choose(small_plan(**AMP), store)["se"] in {"plain", "fused"}
