"""What one image takes in ONNX Runtime beside PyTorch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ablate.attention import complete
from ablate.model import build
from ablate.study import Variant
from ablate.take.latency import ONNX, PYTORCH, TWIN, OneImage, latency_of, measure_latency
from ablate.take.onnx import export_onnx
from ablate.take.write import Network, Written, built, write_network

SIZE = 32


def times(pytorch: float, onnx: float, twin: float) -> dict[str, list[float]]:
    return {PYTORCH: [pytorch] * 3, ONNX: [onnx] * 3, TWIN: [twin] * 3}


def written(width: float) -> Written:
    variant = complete(Variant(f"cbam_cnn(width={width})", "eca", "pool*"))
    net: nn.Module = build(variant, 10, SIZE, 1).eval()
    classes = tuple("0123456789")
    return write_network(
        Network(variant, net, classes, SIZE, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), "Drawn."), "net"
    )


def test_a_ratio_is_over_processes_and_says_what_follows() -> None:
    found = latency_of([times(2.0, 1.0, 2.0), times(2.2, 1.05, 2.1), times(2.1, 1.0, 2.2)])
    assert found.ratio.ratio == pytest.approx((2 * 2.2 / 1.05 * 2.1) ** (1 / 3))
    assert found.ratio.processes == 3
    assert found.ratio.verdict == "faster"
    assert found.twin.verdict == "undecided"
    assert found.told.startswith(
        "one image on one thread takes ONNX Runtime 1.02 ms and PyTorch 2.1 ms: "
    )
    assert "PyTorch against itself 1.00× (" in found.told
    assert "no difference in speed found (could have seen ≥ " in found.told


def test_of_two_processes_no_interval_is_told() -> None:
    found = latency_of([times(2.0, 1.0, 2.0)] * 2)
    assert "2.00×, too few processes for an interval" in found.told


@pytest.mark.slow
def test_a_network_of_sixteen_times_the_work_is_seen_to_be_slower() -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    small, large = written(0.25), written(2.0)
    content, _ = export_onnx(built(small), SIZE, "small")
    before, told = torch.get_num_threads(), []
    job = OneImage(large, content, SIZE, block_seconds=0.02)
    found = measure_latency(job, 3, lambda *done: told.append(done))
    assert found.ratio.verdict == "faster"
    assert found.ratio.ratio > 3
    assert found.pytorch_ms > 3 * found.onnx_ms
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert torch.get_num_threads() == before
