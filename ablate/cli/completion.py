"""What a shell offers for a word that is being typed, beside commands and options. No torch, no database."""

from __future__ import annotations

from pathlib import Path

MOST = 100


def study_files(incomplete: str) -> list[str]:
    """Study files that begin so, and those in folders that do; other files a shell offers by itself."""
    # `*` and `[` in what was typed so far are characters of a name.
    folder, _, start = incomplete.rpartition("/")
    base = Path(folder or ("/" if incomplete.startswith("/") else "."))
    try:
        entries = [path for path in base.iterdir() if path.name.startswith(start)]
        found = [path for path in entries if path.suffix == ".toml" and path.is_file()]
        folders = [path for path in entries if path.is_dir() and not path.name.startswith(".")]
        found += [file for path in folders for file in path.glob("*.toml")]
    except OSError:
        return []
    return sorted(str(path) for path in found)[:MOST]


def ready_names(incomplete: str) -> list[str]:
    """Studies that come with ablate."""
    from ablate.commands.ready import ready_studies

    return [name for name in ready_studies() if name.startswith(incomplete)]
