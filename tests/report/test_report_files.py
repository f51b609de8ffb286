"""The files of a report are safe to open, whole or absent, and need nothing from elsewhere."""

from __future__ import annotations

import errno
import itertools
import os
import re
import subprocess
import sys
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib import pyplot
from PIL import Image
from support.report_frames import CBAM, TWO, Page, csv_rows, make_frames, written

from ablate.errors import OutputError
from ablate.report.render import render, write_report
from ablate.store.reading.frames import Frames

HOSTILE = "<script>alert(1)</script>|*x* $y$ _z_ 測試"


def hostile() -> Frames:
    frames = make_frames({"none": 0.83, HOSTILE: 0.85, "=cmd()": 0.83}, question="see http://a.b/c")
    error = "<img src=x onerror=alert(1)> see https://example.org/x | `code`"
    runs = frames.runs.assign(failure="error", error=error)
    runs.loc[runs["seed"] == 4, ["status", "test_accuracy"]] = ["failed", None]
    return replace(frames, runs=runs)


@pytest.mark.slow
def test_hostile_text_stays_text() -> None:
    html = written(hostile())["report.html"].decode()
    shown = Page(html)
    assert not {"link", "iframe", "object", "base", "img"} & {tag for tag, _ in shown.tags}
    assert [tag for tag, _ in shown.tags].count("script") == 1, (
        "the page's own, whose hash it allows"
    )
    assert all((a["href"] or "").startswith("#") for tag, a in shown.tags if tag == "a")
    images = [attributes for _, attributes in shown.tags if attributes.get("role") == "img"]
    assert len(images) > 5
    assert all(a["aria-label"] for a in images)
    assert not [name for _, attributes in shown.tags for name in attributes if name[:2] == "on"]
    assert HOSTILE in shown.sections["results"]
    assert "<img src=x onerror=alert(1)>" in shown.sections["failures"]


@pytest.mark.slow
def test_the_page_needs_nothing_from_elsewhere() -> None:
    html = written(hostile())["report.html"].decode()
    assert "://" not in html
    assert "url(" not in html.replace("url(#", "")
    assert "@import" not in html
    shown = Page(html)
    assert shown.headers_without_scope == 0
    assert not [name for _, a in shown.tags for name in a if name == "style"]
    policy = next(a["content"] or "" for _, a in shown.tags if "http-equiv" in a)
    assert "unsafe" not in policy
    for tag, allowed in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = b64encode(sha256(content.encode()).digest()).decode()
        assert f"{allowed} 'sha256-{digest}'" in policy


@pytest.mark.slow
@pytest.mark.usefixtures("words_alone")
def test_markdown_escapes_what_would_break_a_table() -> None:
    lines = written(hostile())["report.md"].decode().splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert not [line for line in lines if "<script" in line or "<img" in line or "://" in line]
    bars = {len(re.findall(r"(?<!\\)\|", row)) for row in tables if "&lt;script&gt;" in row}
    assert r"\|\*x\* \$y\$ \_z\_" in "".join(tables)
    # results with 11 columns, runs with 9, costs with 7, the best by validation with 5, failures with 4
    assert bars == {12, 10, 8, 6, 5}


@pytest.mark.slow
def test_markdown_shows_figures_that_are_written() -> None:
    files = written(make_frames(TWO))
    shown = set(re.findall(r"!\[[^\]]+\]\(([^)]+)\)", files["report.md"].decode()))
    assert shown == {name for name in files if name.endswith(".png")}
    assert {"figures/accuracy.png", "figures/cost.png", "figures/profile.png"} <= shown


@pytest.mark.slow
@pytest.mark.usefixtures("words_alone")
def test_csv_guards_text_and_leaves_numbers() -> None:
    names = ["none", "=1+1", "+a", "-a", "@a", "\ta", "\ra", "a=b"]
    rows = csv_rows(written(make_frames({name: 0.83 - 0.01 * (name == "+a") for name in names})))
    guarded = ["none", "'=1+1", "'+a", "'-a", "'@a", "'\ta", "'\ra", "a=b"]
    assert [row["variant"] for row in rows] == guarded
    differences = [float(row["difference"]) for row in rows[1:]]
    assert min(differences) < 0
    assert float(rows[0]["test_accuracy_mean"]) == pytest.approx(0.83, abs=0.01)


@pytest.mark.slow
@pytest.mark.usefixtures("words_alone")
def test_latex_is_escaped() -> None:
    tex = written(make_frames({"none": 0.83, r"a_b&c%d#e$f{g}\h~i^j": 0.83}))["table.tex"].decode()
    assert r"a\_b\&c\%d\#e\$f\{g\}\textbackslash{}h\textasciitilde{}i\textasciicircum{}j" in tex
    assert r"\toprule" in tex
    body = tex.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert [len(re.findall(r"(?<!\\)&", line)) for line in body] == [6, 6]
    assert not set("−±×≥·–") & set(tex)


@pytest.mark.slow
def test_the_same_frames_give_the_same_bytes() -> None:
    assert render(make_frames(TWO)) == render(make_frames(TWO))


@pytest.mark.slow
def test_drawing_leaves_no_global_state() -> None:
    before = dict(mpl.rcParams)
    render(make_frames(TWO))
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == []


@pytest.mark.slow
def test_files_are_written_and_figures_of_an_earlier_report_removed(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "attention"
    first = write_report(make_frames({"none": 0.83, **dict.fromkeys(CBAM, 0.84)}), folder)
    assert all(path.stat().st_size for path in first)
    assert folder / "report.html" in first
    second = write_report(make_frames(TWO), folder)
    there = {path for path in folder.rglob("*") if path.is_file()}
    assert there == set(second)
    assert folder / "figures" / "heat-map.png" in set(first) - set(second)
    assert all(path.stat().st_size < 150_000 for path in second if path.suffix == ".png")


@pytest.mark.slow
@pytest.mark.usefixtures("words_alone")
def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written to .*--out") as caught:
        write_report(make_frames(TWO), tmp_path / "file" / "report")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_report_and_nothing_of_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(make_frames({"none": 0.83, **dict.fromkeys(CBAM, 0.84)}), tmp_path)
    old, fsync, calls = files_of(tmp_path), os.fsync, itertools.count()

    def full(handle: int) -> None:
        if next(calls) >= 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_report(make_frames(TWO), tmp_path)
    with pytest.raises(OutputError, match="No space left on device"):
        write_report(make_frames(TWO), tmp_path / "another" / "folder")
    assert files_of(tmp_path) == old
    assert not (tmp_path / "another").exists()


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_report_needs_neither_torch_nor_the_database() -> None:
    code = (
        "import sys, ablate.report; print([m for m in ('torch', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_page_opens_in_a_browser_without_a_network(tmp_path: Path, chromium: str) -> None:
    write_report(hostile(), tmp_path)
    switches = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}",
                "--window-size=1200,2000", f"--screenshot={tmp_path / 'shot.png'}",
                "--dump-dom"]  # fmt: skip
    address = (tmp_path / "report.html").as_uri()
    done = subprocess.run(
        [chromium, *switches, address], capture_output=True, text=True, timeout=90, check=True
    )
    shown = Page(done.stdout)
    assert "No difference found" in shown.sections["findings"]
    assert [tag for tag, _ in shown.tags].count("script") == 1
    with Image.open(tmp_path / "shot.png") as picture:
        colors = picture.convert("RGB").getcolors(2_000_000)
    assert colors is not None
    assert len(colors) > 100  # a page with figures, not an empty or an error page
