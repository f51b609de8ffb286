"""A report in Chinese: nothing of it is left in English, what programs read is, and no letter is missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Shell
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from support.report_frames import CBAM, TWO, make_frames
from support.words import Texts, english_in

from ablate.page import canvas
from ablate.page.document import Figure
from ablate.page.vector import Picture
from ablate.report.gallery import FIGURES, draw_figure, draw_section
from ablate.report.render import render
from ablate.report.summary import Summary, summarize
from ablate.result.search import ConfirmedResult, SearchResult, TrialResult
from ablate.store.transfer.imports import import_folder
from ablate.system.messages.language import DOMAIN, spoken
from benchmarks.catalogue import LOCALE, read_catalogue

ROOT = Path(__file__).parents[2]
STUDY = str(ROOT / "studies" / "digits-grid.toml")
CHINESE = re.compile("[\u3000-\u9fff\uff00-\uffef]")
DATA = (
    "Noto Sans CJK",
    "Does attention help a three-block CNN, where, and at what cost?",
    "Does attention help a three-block CNN to read handwritten digits, where, and at what cost?",
    "its file lies beside the database that it came from",
)
"""A font; questions of studies, and why a profile has no trace: they are in the database."""


@pytest.fixture
def chinese() -> Iterator[None]:
    with spoken("zh"):
        yield


@pytest.fixture(scope="module")
def summary() -> Summary:
    return summarize(make_frames({"none": 0.83, **dict.fromkeys(CBAM, 0.84)}))


@pytest.fixture
def fonts() -> Iterator[list[object]]:
    """The fonts of the machine, for changing them."""
    before = list(fontManager.ttflist)
    yield fontManager.ttflist
    fontManager.ttflist[:] = before
    canvas.family_of_words.cache_clear()
    canvas._family_with.cache_clear()


@pytest.fixture
def font(tmp_path: Path, fonts: list[object]) -> None:
    """A font with the letters of the catalogue and no others, each a box."""
    known = read_catalogue(LOCALE / "zh" / "LC_MESSAGES" / f"{DOMAIN}.po")
    text = "".join(str(message.string) for message in known) + canvas.LETTERS["zh"]
    letters = {ord(c): f"u{ord(c):04X}" for c in sorted(set(CHINESE.findall(text)))}
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 800), (800, 800), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    made, names = FontBuilder(1000, isTTF=True), [".notdef", *letters.values()]
    box = pen.glyph()
    made.setupGlyphOrder(names)
    made.setupCharacterMap(letters)
    made.setupGlyf(dict.fromkeys(names, box))
    made.setupHorizontalMetrics(dict.fromkeys(names, (900, 100)))
    made.setupHorizontalHeader(ascent=800, descent=0)
    made.setupNameTable({"familyName": "Letters of a Catalogue", "styleName": "Regular"})
    made.setupOS2()
    made.setupPost()
    path = tmp_path / "letters.ttf"
    made.save(path)
    fonts[:] = [font for font in fontManager.ttflist if "DejaVu" in font.name]
    fontManager.addfont(str(path))
    canvas.family_of_words.cache_clear()


@pytest.fixture
def no_font(fonts: list[object]) -> None:
    """A machine with the fonts that Matplotlib brings."""
    fonts[:] = [font for font in fontManager.ttflist if "matplotlib" in font.fname]
    canvas.family_of_words.cache_clear()


def words_of(summary: Summary, name: str) -> tuple[Figure, set[str]]:
    """A figure, and the texts that are drawn in it."""
    with canvas.style(), canvas.kept() as drawn:
        found = draw_section(FIGURES[name].section, summary)[name]
    texts = {t.get_text() for figure in drawn for t in figure.findobj(Text) if t.get_visible()}
    return found, texts


@pytest.mark.slow
@pytest.mark.usefixtures("chinese", "no_font")
def test_without_a_font_the_words_of_a_figure_are_english(summary: Summary) -> None:
    """Boxes were drawn in their place: Matplotlib brings a font that has one for every character."""
    assert not canvas.can_word()
    found, texts = words_of(summary, "accuracy")
    assert "Test accuracy (%)" in texts
    assert CHINESE.search(found.caption)
    assert canvas.english_words() != ()


@pytest.mark.usefixtures("no_font")
def test_a_name_is_no_box_of_the_last_font() -> None:
    canvas._family_with.cache_clear()
    assert canvas.label("\N{CJK UNIFIED IDEOGRAPH-732B}") == "[732B]"


@pytest.mark.slow
@pytest.mark.usefixtures("chinese", "font")
def test_with_a_font_no_letter_of_a_figure_is_missing(summary: Summary) -> None:
    """Matplotlib warns of a letter that no font has, and a warning is an error here."""
    drawn = {name: draw_figure(name, summary, 4.2) for name in ("effects", "accuracy", "heat-map")}
    assert {name for name, figure in drawn.items() if figure is not None} == set(drawn)
    assert "测试准确率（%）" in words_of(summary, "accuracy")[1]
    assert canvas.english_words() == ()


@pytest.mark.usefixtures("chinese", "no_font")
def test_a_word_that_no_font_has_would_be_told() -> None:
    """That the test above can fail."""
    with canvas.style():
        figure, (ax,) = canvas.axes(1.0)
        ax.set_xlabel("\u6d4b")
        with pytest.warns(UserWarning, match="missing from font"):
            canvas.png(figure)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figure is drawn."""
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'
    monkeypatch.setattr(canvas, "saved", lambda _figure: Picture(svg, b"a picture", b"a document"))


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_what_programs_read_is_english() -> None:
    summary = summarize(make_frames(TWO))
    english = render(summary)
    with spoken("zh"):
        found = render(summary)
    differing = {name for name in found if found[name] != english[name]}
    assert found.keys() == english.keys()
    assert differing == {"report.md", "report.html"}
    page, text = found["report.html"].decode(), found["report.md"].decode()
    assert '<html lang="zh-CN">' in page
    assert english_in([*Texts(page).found, *text.splitlines()], DATA) == []


def searched() -> Summary:
    """With a search of two objectives, whose methods disagree on what matters."""
    points = ({"attention": "se", "reduction": 4}, {"attention": "eca", "reduction": 8})
    trials = tuple(
        TrialResult(
            n, name, f"f{n}", state, point, (0.8 + n / 50, 900.0 - n), 2, 2, 2 * n + 2, n == 1
        )
        for n, (name, point, state) in enumerate(
            (
                ("up", points[0], "complete"),
                ("down", points[1], "complete"),
                ("none", points[0], "raced"),
            )
        )
    )
    importances = {
        "fANOVA": {"attention": 0.7, "reduction": 0.3},
        "PED-ANOVA": {"attention": 0.2, "reduction": 0.8},
    }
    found = SearchResult(
        "tpe", "none", True, 2, ("val_accuracy", "images_per_second"), trials, importances,
        (ConfirmedResult("up", "f1", 0.85, 0.84, 0.83, 0.85, 3),), 3, (0.8, 0.82, 0.84),
    )  # fmt: skip
    return replace(summarize(make_frames({**TWO, "down": 0.80})), search=found)


def with_failures() -> Summary:
    """Runs that failed, are missing or were looked at before they were all there."""
    frames = make_frames(TWO, controls=["up"], aliases={"twin": "up"})
    status = frames.runs["status"].where(frames.runs["seed"] != 2, "failed")
    return summarize(replace(frames, runs=frames.runs.assign(status=status)))


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "made",
    [
        searched,
        with_failures,
        lambda: summarize(make_frames(TWO, split="tutorial")),
        lambda: summarize(make_frames(TWO, seeds=1)),
        lambda: summarize(
            make_frames({"none": 0.83, "up": 0.86, "down": 0.80, "same": 0.83}, seeds=9)
        ),
    ],
    ids=["search", "failures", "leaked", "one seed", "decided"],
)
def test_whatever_a_study_has_nothing_is_left_in_english(made: Callable[[], Summary]) -> None:
    summary = made()
    english = render(summary)
    with spoken("zh"):
        found = render(summary)
    assert {name for name in found if found[name] != english[name]} == {"report.md", "report.html"}
    page, text = found["report.html"].decode(), found["report.md"].decode()
    assert english_in([*Texts(page).found, *text.splitlines()], DATA) == []


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_of_a_real_study_nothing_is_left_in_english(shell: Shell) -> None:
    url = f"sqlite:///{shell.folder / 'r.db'}"
    import_folder(ROOT / "results" / "published" / "cpu", url)
    pair = ("none", "se(pool1, r=16)")
    commands = (
        ("plan", STUDY),
        ("status",),
        ("report", STUDY, "--comment"),
        ("compare", *pair, "--study", STUDY),
        ("report", STUDY, "--out", "told"),
    )
    for command in commands:
        code, out, err = shell(*command, "--db", url, "--language", "zh")
        assert (code, err) == (0, "")
        assert CHINESE.search(out)
        # A terminal breaks a long line where it will.
        assert english_in([" ".join(out.split()), *shell.told], DATA) == []
    page = (shell.folder / "told" / "report.html").read_text(encoding="utf-8")
    text = (shell.folder / "told" / "report.md").read_text(encoding="utf-8")
    assert english_in([*Texts(page).found, *text.splitlines()], DATA) == []
    assert "\N{REPLACEMENT CHARACTER}" not in page


@pytest.mark.slow
def test_a_run_and_its_pictures_are_told_in_chinese(shell: Shell) -> None:
    study = ("--set", "recipe.epochs=1", "--set", "data.train_images=200")
    digits = str(ROOT / "studies" / "digits.toml")
    run = ("run", digits, *study, "--max-runs", "1", "--no-measure", "--workers", "1")
    explain = ("explain", "none", "eca(pool*)", "--study", digits, *study, "--samples", "1")
    for command in (run, explain):
        code, out, err = shell(*command, "--language", "zh")
        assert (code, err) == (0, "")
        assert english_in([*out.splitlines(), *shell.told]) == []
    page = next(shell.folder.rglob("explain.html")).read_text(encoding="utf-8")
    assert english_in(Texts(page).found, DATA) == []


@pytest.mark.slow
def test_the_locale_says_the_language(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ABLATE_LANGUAGE")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    plan = ("plan", STUDY, "--no-probe")
    assert "变体" in shell(*plan)[1]
    assert "variants" in shell(*plan, "--language", "en")[1]
    assert "variants" in shell("--language=en", *plan)[1]
    assert shell(*plan, "--language", "fr")[0] == 2


def test_a_plan_of_folds_is_in_chinese(shell: Shell) -> None:
    plan = ("plan", STUDY, "--no-probe", "--set", "data.folds=5", "--language", "zh")
    code, out, err = shell(*plan)
    assert (code, err) == (0, "")
    assert english_in([" ".join(out.split()), *shell.told], DATA) == []
    assert "每个种子 5 折，每张图像测试一次" in "".join(out.split("\n"))
