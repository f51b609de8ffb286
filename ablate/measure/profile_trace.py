"""The file of a profile: a Chrome trace that TensorBoard's profiler plugin and Perfetto open."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

from torch.profiler import profile

from ablate.system.files.atomic import write_whole

FASTEST = 1
"""gzip's lowest level: a trace shrinks twentyfold with it, and little more with the highest."""


def trace_name(fingerprint: str, path: str) -> str:
    """The name of a trace, of ids alone; the plugin looks for this ending."""
    return f"{fingerprint}-{path}.pt.trace.json.gz"


def write_trace(profiler: profile, file: Path) -> None:
    """Write what a profiler has recorded.

    Raises:
        OSError: it cannot be written; nothing is left behind.
        ValueError: the profiler gave something that is no trace, as it does on a full disk.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(plain))
        document = json.loads(plain.read_bytes())
    document["traceName"] = file.name  # not a folder of this machine
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, separators=(",", ":")).encode()
    write_whole(file, gzip.compress(text, FASTEST, mtime=0))
