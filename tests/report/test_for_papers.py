"""What a paper takes: a table that fits its column and compiles, a macro for each number, names typeset."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.grid_frames import grid_frames
from support.report_frames import TWO, make_frames

from ablate.errors import OptionError
from ablate.report.files.latex import (
    CHOSEN,
    COLUMNS,
    latex_table,
    numbers_tex,
    paper_columns,
    typeset,
)
from ablate.report.summary import Summary, summarize

EVERY = tuple(COLUMNS)
HOSTILE = [
    r"\input{/etc/passwd}", "a_b&c%d#e$f{g}~h^i", "<script>|`x`\"", "−±×≥·–…", "測試\u202e\x1b[31m",
    "se(layer1.0.conv2+before:layer2, r=16, gate=hard_sigmoid)", "=cmd()", "%", "}}", "é",
]  # fmt: skip
PAPER = r"""\documentclass[twocolumn]{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs,array,textcomp}
\input{numbers.tex}
\begin{document}
\input{narrow.tex}
\input{wide.tex}
Mean: \ablateNoneMean{} with \ablateNoneRuns{} runs.
\end{document}
"""


@pytest.fixture(scope="module")
def summary() -> Summary:
    return summarize(grid_frames(27, seeds=3, epochs=1))


def compiled(folder: Path, summary: Summary, columns: tuple[str, ...]) -> str:
    """What TeX says of a paper with both tables and the macros."""
    tex = shutil.which("pdflatex")
    if tex is None:
        pytest.skip("pdflatex is not installed: apt-get install texlive-latex-recommended")
    (folder / "narrow.tex").write_text(latex_table(summary, "narrow", CHOSEN["narrow"]))
    (folder / "wide.tex").write_text(latex_table(summary, "wide", columns))
    (folder / "numbers.tex").write_text(numbers_tex(summary))
    (folder / "paper.tex").write_text(PAPER)
    command = [tex, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-1500:]
    assert (folder / "paper.pdf").read_bytes().startswith(b"%PDF")
    return said


def test_both_tables_compile_and_fit(tmp_path: Path, summary: Summary) -> None:
    said = compiled(tmp_path, summary, CHOSEN["wide"])
    assert "Overfull" not in said
    assert "Undefined control" not in said


def test_hostile_names_compile_as_text(tmp_path: Path) -> None:
    evil = summarize(
        make_frames({"none": 0.83, **dict.fromkeys(HOSTILE, 0.84)}, seeds=2, name=HOSTILE[0])
    )
    said = compiled(tmp_path, evil, CHOSEN["wide"])
    assert "root:" not in said
    assert "/etc/passwd" not in re.findall(r"\(([^\s()]+)", said)


def test_bold_is_what_the_verdict_calls_better_and_nothing_else(summary: Summary) -> None:
    rows = latex_table(summary, "narrow", ("variant", "difference", "verdict")).split("\\midrule")[
        1
    ]
    lines = [line for line in rows.splitlines() if line.endswith("\\\\")]
    assert len(lines) == 27
    bold = {i for i, line in enumerate(lines) if "mathbf" in line}
    assert bold == {i for i, line in enumerate(lines) if line.endswith("& better \\\\")}
    assert bold


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("se(pool1, r=16)", r"SE, \texttt{pool1}, $r=16$"),
        ("cbam(pool*, r=4, k=7)", r"CBAM, \texttt{pool*}, $r=4$, $k=7$"),
        (
            "my_net(a.b, gate=hard)",
            r"my\_net, \texttt{a.\allowbreak{}b}, $\mathrm{gate}=\mathrm{hard}$",
        ),
        ("none", "none"),
        ("a b", "a b"),
        ("x%y", r"x\%y"),
    ],
)
def test_names_are_typeset(name: str, shown: str) -> None:
    assert typeset(name) == shown


def test_columns_are_chosen_and_a_wrong_one_is_told(summary: Summary) -> None:
    chosen = paper_columns("variant, accuracy,images_per_second", "wide")
    head = latex_table(summary, "wide", chosen).split("\\toprule\n")[1].splitlines()[0]
    assert head == r"Variant & Accuracy (\%) & Training images/s \\"
    assert paper_columns(None, "narrow") == CHOSEN["narrow"]
    with pytest.raises(OptionError, match=r"'acuracy'.*accuracy"):
        paper_columns("acuracy", "wide")


def test_the_caption_has_a_label_and_no_machine(summary: Summary) -> None:
    table = latex_table(summary, "wide", EVERY)
    assert r"\label{tab:attention}" in table
    assert "H200" not in table
    assert not set("−±×≥·–") & set(table)


def test_every_number_is_a_macro_of_its_own() -> None:
    summary = summarize(make_frames({**TWO, "up!": 0.84, "se(pool1, r=16)": 0.83}))
    macros = re.findall(r"\\newcommand\{\\([A-Za-z]+)\}\{(.*)\}", numbers_tex(summary))
    names = [name for name, _ in macros]
    assert len(set(names)) == len(names)
    assert dict(macros)["ablateSePoolOneROneSixRuns"] == "4"
    mean = summary.reference.accuracy
    assert mean is not None
    assert dict(macros)["ablateNoneMean"] == f"{100 * mean.mean:.2f}"


def test_of_a_leaked_study_nothing_is_bold_and_no_interval_stands_there() -> None:
    leaked = summarize(make_frames(TWO, split="tutorial"))
    table = latex_table(leaked, "wide", EVERY)
    assert "mathbf" not in table
    assert "[" not in table.split("\\midrule")[1].split("\\bottomrule")[0]
    assert "Verdict" not in numbers_tex(leaked)
