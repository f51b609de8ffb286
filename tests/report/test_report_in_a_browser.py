"""The page in a real browser: it sorts, filters, fits every width, prints, and nothing that it shows runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.browser import Browser, browser
from support.grid_frames import grid_frames
from support.report_frames import H200, make_frames

from ablate.commands.several import rendered
from ablate.page import canvas
from ablate.page.document import Document, Figure, Section
from ablate.page.html import html
from ablate.report.figures import row_axes
from ablate.report.render import write_report
from ablate.report.several.parts import make_parts
from ablate.report.story import compose
from ablate.report.summary import summarize
from ablate.store.reading.frames import Frames

WIDTHS = (390, 800, 1280)
A4_PIXELS = 1032
"""The width of a page of A4 on its side, without its margins."""
OVERFLOWING = """(() => {
  const edge = document.documentElement.clientWidth + 1, found = [];
  for (const e of document.querySelectorAll('main *, header *, nav *')) {
    if (e.closest('svg.plot') || e.closest('.scroll') || !e.getClientRects().length) continue;
    const box = e.getBoundingClientRect();
    if (box.right > edge || box.left < -1) found.push(e.tagName + ' ' + e.className);
  }
  return found;
})()"""
TEXTS_OUTSIDE = """(() => {
  const found = [];
  for (const plot of document.querySelectorAll('svg.plot')) {
    if (!plot.getClientRects().length) continue;
    const frame = plot.getBoundingClientRect();
    for (const text of plot.querySelectorAll('text')) {
      const box = text.getBoundingClientRect();
      if (box.left < frame.left - 2 || box.right > frame.right + 2) found.push(text.textContent);
    }
  }
  return found;
})()"""
OVERLAPS = """(() => {
  const found = [];
  for (const plot of document.querySelectorAll('svg.plot')) {
    if (!plot.getClientRects().length) continue;
    // What is turned, as names above the network, has a box that is larger than it.
    const upright = t => !/rotate\\(-4/.test(t.getAttribute('transform'));
    const texts = [...plot.querySelectorAll('text')].filter(upright);
    const boxes = texts.map(t => [t.textContent, t.getBoundingClientRect()]);
    boxes.forEach(([a, x], i) => boxes.slice(i + 1).forEach(([b, y]) => {
      const wide = Math.min(x.right, y.right) - Math.max(x.left, y.left);
      const high = Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top);
      // A line of text is taller than its letters: a quarter of it may lie over the next.
      if (wide > 1.5 && high > 0.35 * Math.min(x.height, y.height)) found.push(a + ' / ' + b);
    }));
  }
  return found;
})()"""
SMALLEST = """Math.min(...[...document.querySelectorAll('svg.plot')].filter(p => p.getClientRects().length)
  .flatMap(p => [...p.querySelectorAll('text')].map(t => t.getBoundingClientRect()))
  .map(b => Math.min(b.width, b.height)).filter(h => h > 0))"""


@pytest.fixture(scope="module")
def open_page(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(chromium, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a grid of 27 variants, some with long names."""
    folder = tmp_path_factory.mktemp("report")
    write_report(grid_frames(27, epochs=5), folder)
    return folder / "report.html"


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_every_width_in_both_schemes(
    open_page: Browser, report: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    open_page.show(report, width, dark=dark)
    assert open_page.complaints == []
    assert open_page.requests == []
    assert open_page.value("document.documentElement.scrollWidth") <= width
    assert open_page.value(OVERFLOWING) == []
    assert open_page.value(TEXTS_OUTSIDE) == []
    assert open_page.value(OVERLAPS) == []
    assert open_page.value(SMALLEST) >= 6.0, "letters that nobody can read"
    light = "getComputedStyle(document.body).backgroundColor"
    paper = "getComputedStyle(document.querySelector('.frame')).backgroundColor"
    colors = [sum(map(int, open_page.value(c)[4:-1].split(", "))) for c in (light, paper)]
    assert all((color < 200) == dark for color in colors), colors
    assert open_page.picture(tmp_path / "page.png").stat().st_size > 50_000


@pytest.mark.slow
def test_a_report_over_several_studies_fits_too(open_page: Browser, tmp_path: Path) -> None:
    machines = ({"devices": ("NVIDIA H100", H200)}, {"backbone": "another_network"})
    found = [
        (summarize(grid_frames(7, epochs=1, name=name, **given)), name[0] * 64)
        for name, given in zip(("digits", "flowers-of-the-garden"), machines, strict=True)
    ]
    page = tmp_path / "report.html"
    page.write_bytes(rendered(make_parts(found))["report.html"])
    for width, dark in ((390, True), (390, False), (1280, True), (1280, False)):
        open_page.show(page, width, dark=dark)
        assert (open_page.complaints, open_page.requests) == ([], [])
        assert open_page.value("document.documentElement.scrollWidth") <= width
        for broken in (OVERFLOWING, TEXTS_OUTSIDE, OVERLAPS):
            assert open_page.value(broken) == []
        assert open_page.value(SMALLEST) >= 6.0
        open_page.picture(tmp_path / f"{width}-{dark}.png")


def names(page: Browser) -> list[str]:
    """The variants that the table of results shows, in the order in which it does."""
    return list(
        page.value(
            "[...document.querySelectorAll('#results tbody tr')].filter(r => !r.hidden)"
            ".map(r => r.cells[0].firstChild.textContent.trim())"
        )
    )


def numbers(page: Browser, column: int) -> list[float]:
    told = page.value(
        "[...document.querySelectorAll('#results tbody tr')]"
        f".map(r => r.cells[{column}].firstChild.textContent)"
    )
    return [
        float(text.split("±")[0].replace("−", "-").replace(",", ""))
        for text in told
        if text[0] != "–"
    ]


@pytest.mark.slow
def test_the_table_sorts_and_filters_by_mouse_and_by_keyboard(
    open_page: Browser, report: Path
) -> None:
    open_page.show(report, 1280)
    first = names(open_page)
    assert len(first) == 27
    head = "document.querySelectorAll('#results thead button')[3]"
    open_page.value(f"{head}.click()")
    assert numbers(open_page, 3) == sorted(numbers(open_page, 3), reverse=True)
    sorts = "document.querySelectorAll('#results thead th')[3].getAttribute('aria-sort')"
    assert open_page.value(sorts) == "descending"
    open_page.value(f"{head}.focus()")
    open_page.press("Enter", text="\r")
    assert numbers(open_page, 3) == sorted(numbers(open_page, 3))
    open_page.press("Enter", text="\r")
    assert names(open_page) == first, "the third time gives the order of the study back"
    choose = (
        "(() => {{ const s = document.querySelectorAll('#results select')[{0}]; s.value = '{1}';"
        " s.dispatchEvent(new Event('input', {{bubbles: true}})); }})()"
    )
    open_page.value(choose.format(0, "se"))
    assert names(open_page) == ["none", *(name for name in first if name.startswith("se("))]
    open_page.value(choose.format(1, "pool2"))
    kept = [name for name in first if name.startswith("se(pool2, ")]
    assert names(open_page) == ["none", *kept]
    assert open_page.value("document.querySelector('#results output').textContent") == (
        f"{len(kept)} of 27"
    )
    open_page.value("document.querySelector('#results [type=reset]').click()")
    open_page.value("new Promise(done => setTimeout(done, 50))")
    assert names(open_page) == first
    seeds = "document.querySelectorAll('#results tbody details')[1]"
    open_page.value(f"{seeds}.querySelector('summary').click()")
    assert open_page.value(f"{seeds}.querySelectorAll('li').length") == 10
    assert "run 001001" in open_page.value(f"{seeds}.textContent")


@pytest.mark.slow
def test_it_prints_without_cutting_a_figure(
    open_page: Browser, report: Path, tmp_path: Path
) -> None:
    open_page.show(report, 1280, dark=True)
    pdf = open_page.printed(tmp_path / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert pages(pdf) <= 21
    open_page.show(report, A4_PIXELS)
    open_page.ask("Emulation.setEmulatedMedia", media="print")
    assert open_page.value("document.documentElement.scrollWidth") <= A4_PIXELS
    page_mm = 210 - 2 * 12
    tallest = open_page.value(
        "Math.max(...[...document.querySelectorAll('svg.plot')].map(p => p.getBoundingClientRect().height))"
    )
    assert 0 < tallest / 96 * 25.4 < page_mm
    assert open_page.value("getComputedStyle(document.querySelector('.filters')).display") == "none"
    shown = "getComputedStyle(document.querySelectorAll('#results tbody details')[1]).display"
    assert open_page.value(shown) == "none", "seeds that nobody has opened"
    open_page.value("document.querySelectorAll('#results tbody details')[1].open = true")
    assert open_page.value(shown) == "block"
    head = "getComputedStyle(document.querySelector('#results thead button')).display"
    assert open_page.value(head) == "contents", "a control is not painted at the head of each page"
    open_page.ask("Emulation.setEmulatedMedia", media="")


def pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


@pytest.mark.slow
def test_150_variants_are_few_pages(open_page: Browser, tmp_path: Path) -> None:
    with canvas.width(canvas.WIDTH_INCHES, for_page=True):
        document = compose(summarize(grid_frames(150, epochs=2)))
    page = tmp_path / "report.html"
    page.write_text(html(document))
    open_page.show(page, 1280)
    assert pages(open_page.printed(tmp_path / "report.pdf").read_bytes()) <= 35
    open_page.show(page, A4_PIXELS)
    open_page.ask("Emulation.setEmulatedMedia", media="print")
    assert open_page.value("document.documentElement.scrollWidth") <= A4_PIXELS
    open_page.ask("Emulation.setEmulatedMedia", media="")


@pytest.mark.slow
def test_a_figure_of_many_rows_is_printed_in_parts_that_end_between_rows(
    open_page: Browser, tmp_path: Path
) -> None:
    names = [f"variant number {i}" for i in range(120)]
    with canvas.style():
        drawn, ax = row_axes(names)
        ax.plot(range(120), range(120))
        figure = Figure("tall", "Many rows.", "Rows.", canvas.saved(drawn))
    page = tmp_path / "tall.html"
    page.write_text(html(Document("t", "", (), "", (Section("s", "S", (figure,)),))))
    open_page.show(page, A4_PIXELS)
    open_page.value("dispatchEvent(new Event('beforeprint'))")
    boxes = open_page.value(
        "[...document.querySelectorAll('.piece svg:first-child')]"
        ".map(p => p.getAttribute('viewBox').split(' ').map(Number))"
    )
    axis = open_page.value("document.querySelector('.piece svg:last-child').viewBox.baseVal.height")
    height = open_page.value("document.querySelector('.whole svg').viewBox.baseVal.height")
    assert len(boxes) >= 3
    assert sum(box[3] for box in boxes) + axis == pytest.approx(height)
    assert 10 < axis < 40
    assert open_page.value("document.querySelectorAll('.piece svg').length") == 2 * len(boxes)
    assert all(box[3] <= 0.6 * box[2] for box in boxes)
    cuts = [box[1] for box in boxes[1:]]
    texts = open_page.value(
        "(() => { const p = document.querySelector('.whole svg'), f = p.getBoundingClientRect();"
        " return [...p.querySelectorAll('text')].map(t => t.getBoundingClientRect())"
        f".map(b => [b.top, b.bottom].map(y => (y - f.top) * {height} / f.height)); }})()"
    )
    assert not [c for c in cuts for top, bottom in texts if top + 1 < c < bottom - 1], (
        "no name is cut"
    )
    open_page.value("dispatchEvent(new Event('afterprint'))")
    assert open_page.value("document.querySelectorAll('.parts, .whole').length") == 0
    assert open_page.complaints == []


EVIL = [
    "<script>document.title='ran'</script>", '"><img src=x onerror="document.title=\'ran\'">', "{{7*7}}",
    "a\u202eb", "a|b`c`", r"\input{/etc/passwd}$x$", "=HYPERLINK(\"http://evil.example\")",
    "</svg><script>document.title='ran'</script>", "url(http://evil.example/x)", "]]>&amp;<!--",
]  # fmt: skip
"""What an evil study may call itself, its variants and its classes."""


def evil_frames() -> Frames:
    means = {"none": 0.83} | {name: 0.83 + 0.002 * i for i, name in enumerate(EVIL)}
    frames = make_frames(means, seeds=2, name=EVIL[0], question=EVIL[1], dataset=EVIL[6])
    runs = frames.runs.assign(position=EVIL[7], attention=frames.runs["variant"], error=EVIL[0])
    runs.loc[3, ["status", "failure", "test_accuracy"]] = ["failed", "error", None]
    return replace(frames, runs=runs, environments=[{"command": EVIL[8], "commit": EVIL[4]}])


@pytest.mark.slow
def test_nothing_that_a_study_calls_itself_runs_or_is_fetched(
    open_page: Browser, tmp_path: Path
) -> None:
    files = write_report(evil_frames(), tmp_path)
    page = tmp_path / "report.html"
    open_page.show(page, 1280)
    assert open_page.value("document.title").startswith("<script>")
    assert open_page.value("document.scripts.length") == 1
    assert open_page.value("document.images.length") == 0
    assert open_page.requests == []
    assert open_page.complaints == []
    shown = open_page.value("document.body.innerText")
    assert EVIL[1] in shown
    assert "{{7*7}}" in shown
    assert "49" not in names(open_page)
    assert [n for n in names(open_page) if "\u202e" in n] == []
    for svg in (path for path in files if path.suffix == ".svg"):
        open_page.show(svg, 800)
        assert open_page.value("document.querySelectorAll('script, foreignObject, a').length") == 0
        assert open_page.requests == []
