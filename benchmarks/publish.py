"""`python -m benchmarks.publish`: every published report, made anew from the published results.

`results/published/NAME/` is an export (`ablate export`), text alone. Of each study in it the report is
`reports/STUDY-NAME/`. With `--check` nothing is written: it fails if one would change, as
`ablate report --check` does.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ablate.commands.report import build_report, check_report
from ablate.errors import AblateError
from ablate.report.render import ForPaper
from ablate.store.transfer.imports import import_folder
from ablate.store.transfer.manifest import file_of_view
from ablate.study.file import load_study

ROOT = Path(__file__).parent.parent
EXIT_CHANGED, EXIT_USER = 1, 2
COMMITTED = ForPaper(formats=("png", "csv"))
"""The page holds every figure as SVG already, and who wants a PDF makes the report."""


def main(arguments: Sequence[str]) -> int:
    """Make or check what is published below the root."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publish", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    parser.add_argument("--root", type=Path, default=ROOT, help="where results/ and reports/ are")
    asked = parser.parse_args(arguments)
    published = sorted((asked.root / "results" / "published").glob("*/manifest.json"))
    if not published:
        print("nothing is published")
        return 0
    try:
        changed = sum(publish(each.parent, asked.root, asked.check) for each in published)
    except AblateError as error:
        print(f"benchmarks.publish: {error}", file=sys.stderr)
        return EXIT_USER
    return EXIT_CHANGED if changed else 0


def publish(folder: Path, root: Path, check: bool) -> int:
    """Write the reports of one export, or count the files in them that would change."""
    changed = 0
    with TemporaryDirectory() as temporary:
        url = f"sqlite:///{temporary}/results.db"
        import_folder(folder, url)
        for name in studies_in(folder):
            study = load_study(root / "studies" / f"{name}.toml")
            out = root / "reports" / f"{name}-{folder.name}"
            if check:
                remedy = "`make publish` writes it anew, or delete it"
                changed += check_report(
                    study, None, url, out, paper=COMMITTED, alone=True, remedy=remedy
                )
            else:
                build_report(study, None, url, out, COMMITTED)
    return changed


def studies_in(folder: Path) -> list[str]:
    """The studies that have a run in an export."""
    with (folder / file_of_view("v_runs", "csv")).open(encoding="utf-8", newline="") as file:
        return sorted({row["study"] for row in csv.DictReader(file)})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
