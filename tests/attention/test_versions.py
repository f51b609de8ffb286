"""What each attention computes is pinned: other mathematics is another version, and trained anew."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from test_attention import PINNED
from torch import Tensor, nn

from ablate import attention
from ablate.attention import ATTENTION, Attention, complete
from ablate.attention.se import SE
from ablate.measure.architecture import describe
from ablate.study import Variant


def checksums(name: str) -> tuple[float, float]:
    """Of weights and an input that are waves, so that neither depends on a generator."""
    module = ATTENTION[name](
        16, **({"reduction": 4} if name in ("se", "cbam", "cbam_channel") else {})
    )
    for parameter in module.parameters():
        parameter.data = wave(parameter.shape, 0.37)
    x = wave((2, 16, 5, 6), 0.11).requires_grad_()
    out = module.plain(x)
    (out * wave(out.shape, 0.23)).sum().backward()
    assert x.grad is not None
    return tuple(round((t * wave(t.shape, 0.53)).double().sum().item(), 3) for t in (out, x.grad))  # type: ignore[return-value]


def wave(shape: tuple[int, ...], step: float) -> Tensor:
    return torch.sin(step * torch.arange(1.0, torch.Size(shape).numel() + 1)).reshape(shape) * 2


@pytest.mark.parametrize("name", ATTENTION)
def test_the_mathematics_of_a_version_stays(name: str) -> None:
    key = name, ATTENTION[name].version
    assert key in PINNED, f"pin {key}: {checksums(name)}"
    assert checksums(name) == pytest.approx(PINNED[key], abs=2e-3), (
        f"{name} computes something else than before: raise {ATTENTION[name].__name__}.version and pin it, "
        "so that stored results are not taken for those of the new one"
    )


def fingerprint_of(**options: Any) -> str:
    variant = complete(Variant("cbam_cnn", "se", "pool3", tuple(options.items())))
    return describe(variant, 10, 32).fingerprint


@pytest.fixture
def before() -> str:
    return fingerprint_of()


def replace_se(monkeypatch: pytest.MonkeyPatch, kind: type[Attention]) -> None:
    kind.__module__, kind.__qualname__ = SE.__module__, SE.__qualname__
    monkeypatch.setitem(attention.ATTENTION, "se", kind)


def test_another_version_is_another_network(monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    class Repaired(SE):
        version: ClassVar[int] = 2

    replace_se(monkeypatch, Repaired)
    assert fingerprint_of() != before
    monkeypatch.setattr(Repaired, "version", 1)
    assert fingerprint_of() == before, "the first version adds nothing"


def test_an_option_that_shows_nowhere_else_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    class Tempered(SE):
        def __init__(
            self, channels: int, *, reduction: int = 16, heat: float = 1.0, gate: str = "sigmoid"
        ) -> None:
            super().__init__(channels, reduction=reduction)
            self.heat = heat
            if gate != "sigmoid":
                self._gate = nn.functional.hardsigmoid

    replace_se(monkeypatch, Tempered)
    assert fingerprint_of(heat=1.0) == before, "at its default it adds nothing"
    marks = [
        before,
        fingerprint_of(heat=2.0),
        fingerprint_of(gate="hard"),
        fingerprint_of(heat=0.5),
    ]
    assert len(set(marks)) == len(marks)


def test_a_part_of_another_version_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def of() -> str:
        return describe(complete(Variant("cbam_cnn", "cbam", "pool3")), 10, 32).fingerprint

    before = of()
    monkeypatch.setattr(ATTENTION["cbam_spatial"], "version", 2)
    assert of() != before
