"""What an exception means for memory and for the process that it was raised in. Loads no torch."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

OUT_OF_MEMORY = (
    "can't allocate memory",  # torch's allocator of a CPU
    "cuda out of memory",
    "cuda error: out of memory",
    "cuda driver error: out of memory",  # torch's own calls of the driver, such as loading compiled kernels
    "triton error [cuda]: out of memory",
    "unable to find an engine to execute this computation",  # cuDNN, without room for a workspace
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "device_allocation_failed",  # CUDNN_STATUS_INTERNAL_ERROR_…, as cuDNN 9 says it
)
"""What libraries say, in small letters, when memory ran out: most of it is no `torch.OutOfMemoryError`."""

BROKEN = re.compile(
    r"(?:cuda error|cuda driver error|triton error \[cuda\]): .*"
    r"(?:illegal|misaligned|address space|program counter|launch|assert|hardware|uncorrectable|nvlink"
    r"|destroyed|unknown error)"
    r"|(?:cudnn|cublas)_status_(?:execution_failed|mapping_error)"
)
"""What the driver, Triton, cuDNN and cuBLAS say, in small letters, of a device that is broken for a process;
most of it is no `torch.AcceleratorError`.
"""


class ProcessSpentError(Exception):
    """A job has said all that it has to say, and its process must not be used for another one."""


class CaptureError(RuntimeError):
    """Work could not be captured as a CUDA graph. torch 2.11 then takes its allocator for capturing for
    ever (pytorch#180395, #190348): the process is spent.
    """


def chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it came from: an end of memory in a capture makes the capture fail,
    which hides it.
    """
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def out_of_memory(error: BaseException) -> str | None:
    """The first line of what said that memory ran out; None if nothing did."""
    return next((_first_line(each) for each in chain(error) if _says_so(each)), None)


def breaks_process(error: BaseException) -> bool:
    """Whether the device answers this process with the same error from now on, as after an illegal access:
    whatever is computed next fails too. Another process is not touched.
    """
    if any(isinstance(each, CaptureError) for each in chain(error)):
        return False
    return any(_is_broken(each) for each in chain(error))


def _is_broken(error: BaseException) -> bool:
    if not isinstance(error, RuntimeError) or _says_so(error):
        return False
    of_torch = getattr(sys.modules.get("torch"), "AcceleratorError", None)
    known = of_torch is not None and isinstance(error, of_torch)
    return known or BROKEN.search(str(error).lower()) is not None


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    of_torch = getattr(sys.modules.get("torch"), "OutOfMemoryError", None)
    if of_torch is not None and isinstance(error, of_torch):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(said in text for said in OUT_OF_MEMORY)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else "the machine's memory ran out"
