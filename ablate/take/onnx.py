"""The same network as ONNX, compared with the one that it is of in ONNX Runtime."""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from typing import Any

import torch
from torch import nn

from ablate.errors import OptionError, StudyError
from ablate.system.messages.text import one_line

TOLERANCE = 1e-4
"""Of logits, relative to the largest: another library adds in another order."""
NEEDED = ("onnx", "onnxscript", "onnxruntime")


def export_onnx(net: nn.Module, image_size: int, name: str) -> tuple[bytes, float]:
    """The network for batches of any size, and the largest difference of its logits from PyTorch's, on CPU.

    Raises:
        OptionError: what this needs is not installed.
        StudyError: it cannot be exported, or says something else.
    """
    runtime = _needed()
    images = torch.randn(4, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    net = net.cpu().eval()
    try:
        content = _exported(net, images)
    except Exception as error:
        # The exporter fails in every way there is.
        raise StudyError(f"{name} cannot be exported to ONNX: {one_line(error)[:300]}") from error
    with torch.inference_mode():
        expected = net(images)
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    difference = float((found - expected).abs().max())
    if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise StudyError(
            f"{name}: ONNX Runtime gives logits that differ by {difference:.3g}: nothing is written"
        )
    return content, difference


def _exported(net: nn.Module, images: torch.Tensor) -> bytes:
    batch = torch.export.Dim("batch", min=1, max=65_536)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            net, (images,), input_names=["images"], output_names=["logits"], dynamo=True,
            dynamic_shapes=({0: batch},), verbose=False,
        )  # fmt: skip
    if program is None:
        raise StudyError("the exporter gave nothing")
    content = io.BytesIO()
    program.save(content)  # type: ignore[arg-type]
    return content.getvalue()


def _needed() -> Any:
    for package in NEEDED:
        try:
            importlib.import_module(package)
        except ImportError:
            raise OptionError(
                f"--onnx needs the package {package}: install ablate with its extra, ablate[onnx]"
            ) from None
    return importlib.import_module("onnxruntime")
