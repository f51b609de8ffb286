"""What an exception means: memory that ran out under any of its names, a device that is lost, neither."""

from __future__ import annotations

import pytest
import torch

from ablate.system.hardware.device_errors import CaptureError, breaks_process, out_of_memory


def raised_from(error: Exception, cause: BaseException) -> Exception:
    error.__context__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        RuntimeError("FIND was unable to find an engine to execute this computation"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        raised_from(CaptureError("capture failed"), torch.OutOfMemoryError("CUDA out of memory")),
    ],
)
def test_memory_that_runs_out_has_many_names(error: Exception) -> None:
    assert out_of_memory(error)
    assert not breaks_process(error), "the next one may fit"


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        torch.AcceleratorError("CUDA error: unspecified launch failure"),
        raised_from(ValueError("in a network"), torch.AcceleratorError("CUDA error: Xid")),
        RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"),
        RuntimeError("Triton Error [CUDA]: misaligned address"),
        RuntimeError("CUDA driver error: unspecified launch failure"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_MAPPING_ERROR"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(…)`"),
        RuntimeError("CUDA error: device-side assert triggered"),
    ],
)
def test_a_device_that_answers_with_errors_alone_breaks_the_process(error: Exception) -> None:
    assert breaks_process(error)
    assert out_of_memory(error) is None


@pytest.mark.parametrize(
    "error",
    [
        ValueError("out of memory, says a user's own line"),
        RuntimeError("size mismatch"),
        RuntimeError("Triton Error [CUDA]: invalid argument"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
        ValueError("a user's own line: CUDNN_STATUS_EXECUTION_FAILED"),
        raised_from(CaptureError("it syncs"), torch.AcceleratorError("CUDA error: capturing")),
    ],
)
def test_what_is_neither(error: Exception) -> None:
    assert not breaks_process(error)
    assert out_of_memory(error) is None
