"""A process that decodes: chunks come in by its standard input, answers go out by its standard output.

Started by `ablate.datasets.workers` with this module alone; when its parent ends, however it ends, so does
its input, and so does it.
"""

from __future__ import annotations

import os
import traceback
from typing import IO

from ablate.pixels.rows import Reply, decode_chunk
from ablate.pixels.wire import receive_chunk, send_reply

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
    """One answer for each chunk."""
    while (chunk := receive_chunk(asked)) is not None:
        try:
            reply = decode_chunk(chunk)
        except Exception:
            reply = Reply((), (), raised=traceback.format_exc())
        send_reply(answers, reply)
