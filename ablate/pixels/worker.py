"""A process that decodes: chunks come in by its standard input, answers go out by its standard output.

Started by `ablate.datasets.workers` with this module alone; when its parent ends, however it ends, so does
its input, and so does it.
"""

from __future__ import annotations

import os
import pickle  # between a process and its own child
import traceback
from typing import IO

from ablate.pixels.rows import Reply, decode_chunk

STDIN, STDOUT, STDERR = 0, 1, 2


def main() -> None:
    """Answer until nothing more comes."""
    asked, answers = os.fdopen(os.dup(STDIN), "rb"), os.fdopen(os.dup(STDOUT), "wb")
    # What a library prints is no answer, and what reads standard input gets nothing.
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), STDIN)
    os.dup2(STDERR, STDOUT)
    try:
        serve(asked, answers)
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(1)  # nobody waits for an answer


def serve(asked: IO[bytes], answers: IO[bytes]) -> None:
    """One answer for each chunk: its `Reply`, or the exception that ended it."""
    while True:
        try:
            chunk = pickle.load(asked)  # noqa: S301 - its parent's
        except EOFError:
            return
        reply: Reply | Exception
        try:
            reply = decode_chunk(chunk)
        except MemoryError:
            reply = MemoryError("while images were decoded")
        except Exception:
            reply = RuntimeError(traceback.format_exc())
        pickle.dump(reply, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()
