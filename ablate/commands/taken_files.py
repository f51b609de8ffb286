"""The files that a network is written to: its weights, the Python file beside them, and others."""

from __future__ import annotations

import stat
from pathlib import Path

from ablate.errors import OptionError, OutputError
from ablate.system.files.atomic import write_whole


def files_of(out: Path, *more: str) -> tuple[Path, ...]:
    """Weights and Python, and a file with each other ending.

    Raises:
        OptionError: `out` names none.
    """
    if out.name in ("", ".."):
        raise OptionError(f"--out {str(out)!r} names no file: give one, such as net.safetensors")
    known = out.suffix in (".safetensors", ".py", ".onnx")
    stem = out.with_suffix("") if known else out
    return tuple(stem.with_name(f"{stem.name}{end}") for end in (".safetensors", ".py", *more))


def check_free(out: Path, files: tuple[Path, ...]) -> None:
    """Nothing that is there already is overwritten.

    Raises:
        OutputError: one of them is there, or is a folder.
    """
    for file in (out, *files):
        try:
            there = file.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue  # who cannot make it says so
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise OutputError(f"{file}: cannot be written: {reason}") from None
        if stat.S_ISDIR(there.st_mode):
            raise OutputError(f"{file}: is a folder: name the file in it, such as {file / 'net'}")
        if file in files:
            raise OutputError(f"{file}: is there already: give another --out, or remove it")


def write_all(contents: dict[Path, bytes]) -> None:
    """All of them or none.

    Raises:
        OutputError: one cannot be written.
    """
    written: list[Path] = []
    for path, content in contents.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
            written.append(path)
        except OSError as error:
            for each in written:
                each.unlink(missing_ok=True)
            raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
