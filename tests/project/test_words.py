"""Every message that people read has a translation that says the same, and none is left in English."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from gettext import GNUTranslations
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from support.words import PROSE, TYPED

from ablate.system.messages.language import DOMAIN, ENGLISH, LANGUAGES
from benchmarks.catalogue import CONTEXTS, LOCALE, messages, messages_of, read_catalogue

ROOT = Path(__file__).parents[2]
OTHERS = [language for language in LANGUAGES if language != ENGLISH]
CHINESE = re.compile("[\u4e00-\u9fff]")
NAMES = re.compile(r"Noto Sans CJK|AUROC|MACs|\bms\b")
"""What is called so in every language."""


@pytest.fixture(params=OTHERS)
def catalogue(request: pytest.FixtureRequest) -> Catalog:
    return read_catalogue(LOCALE / request.param / "LC_MESSAGES" / f"{DOMAIN}.po")


def fields(text: str) -> list[tuple[str, str, str]]:
    """The values in a message: name, format and conversion."""
    parsed = string.Formatter().parse(text)
    return sorted((name, spec or "", how or "") for _text, name, spec, how in parsed if name)


def pairs(catalogue: Catalog) -> Iterator[tuple[str | None, str, str]]:
    for message in catalogue:
        if message.id:
            yield message.context, str(message.id), str(message.string)


@pytest.mark.slow
def test_a_catalogue_has_every_message_and_no_other(catalogue: Catalog) -> None:
    """If not: `make words`, and translate what is new."""
    known = {(context, text) for context, text, _told in pairs(catalogue)}
    assert known == set(messages())


def test_every_message_has_a_translation(catalogue: Catalog) -> None:
    assert [text for _context, text, told in pairs(catalogue) if not told.strip()] == []


def test_a_translation_has_the_values_of_its_message(catalogue: Catalog) -> None:
    differing = [
        (text, told)
        for context, text, told in pairs(catalogue)
        if fields(told) != ([("n", "", "")] if context == "counted" else fields(text))
    ]
    assert differing == []


def test_no_translation_is_english(catalogue: Catalog) -> None:
    left = [
        (text, told)
        for _context, text, told in pairs(catalogue)
        if PROSE.search(words := NAMES.sub("", TYPED.sub("", bare(told))))
        or (re.search("[A-Za-z]", words) and not CHINESE.search(words))
    ]
    assert left == []


def bare(text: str) -> str:
    """A message without its values."""
    return re.sub(r"\{[^}]*\}", "", text)


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_read_at_run_time_is_what_is_written(language: str) -> None:
    """The .mo is made from the .po; if not: `make words`."""
    folder = LOCALE / language / "LC_MESSAGES"
    with (folder / f"{DOMAIN}.mo").open("rb") as file:
        compiled = GNUTranslations(file)
    for context, text, told in pairs(read_catalogue(folder / f"{DOMAIN}.po")):
        found = compiled.gettext(text) if context is None else compiled.pgettext(context, text)
        assert found == told


def test_messages_are_found_wherever_they_stand() -> None:
    code = (
        'A = N_("one")\nb = f"{_("two")} {amount(3, "three")}"\n'
        'c = _(\n    "fo"\n    "ur {x}",\n    x=noun("five"),\n)\nd = _(A)\n'
    )
    code = code.replace(
        'f"{_("two")} {amount(3, "three")}"', "f\"{_('two')} {amount(3, 'three')}\""
    )
    assert list(messages_of(code)) == [
        (None, "one"), (None, "two"), ("counted", "three"), (None, "four {x}"), ("noun", "five"),
    ]  # fmt: skip


# ── unmarked sentences ────────────────────────────────────────────────────────────────────────────

TOLD = (
    "report/*.py", "page/*.py", "explain/page.py", "explain/explanation.py", "result/dataset.py",
    *(f"stats/{name}.py" for name in ("words", "factor_words", "selection", "controls", "front", "planning")),
    *(f"commands/{name}.py" for name in ("compare", "plan", "contexts", "report", "status", "explain")),
    *(f"commands/{name}.py" for name in ("chosen", "looked", "power", "several")),
    *(f"drive/{name}.py" for name in ("run", "contexts", "counts", "costs", "prepare", "progress")),
    *(f"drive/{name}.py" for name in ("pictures", "turns", "until")),
)  # fmt: skip
"""What people read in their language."""
ENGLISH_ALWAYS = {"report/latex.py"}
"""For papers; and whatever has no translation yet."""


def sentences(code: str) -> Iterator[tuple[int, str]]:
    """English prose in a file that is not marked as a message; docstrings and errors are none."""
    tree = ast.parse(code)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(
                str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        above = list(_above(node, parents))
        if PROSE.search(TYPED.sub("", text)) and not any(map(_passes, above)):
            yield node.lineno, text


def _above(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> Iterator[ast.AST]:
    while (node := parents[node]) in parents:
        yield node


def _passes(node: ast.AST) -> bool:
    """Whether what stands in it is marked, part of what was looked at, a docstring or an error."""
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        return name in CONTEXTS or name.endswith("Error")
    if isinstance(node, ast.keyword):
        return node.arg == "loc"  # where a legend stands
    return isinstance(node, (ast.Raise, ast.Expr, ast.JoinedStr)) and not _is_call(node)


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)


@pytest.mark.slow
def test_every_sentence_that_people_read_is_marked() -> None:
    """If not: `_("… {name} …", name=value)`, then `make words`, and translate it."""
    files = {path for pattern in TOLD for path in (ROOT / "ablate").glob(pattern)}
    named = {str(path.relative_to(ROOT / "ablate")): path for path in sorted(files)}
    marked = {text for _context, text in messages()}
    left = [
        f"{name}:{line}: {text}"
        for name, path in named.items()
        if name not in ENGLISH_ALWAYS
        for line, text in sentences(path.read_text(encoding="utf-8"))
        if text not in marked
    ]
    assert left == []


def test_an_unmarked_sentence_is_found() -> None:
    code = (
        '"""A module that says nothing."""\n'
        'a = _("it is all right here")\n'
        'say(f"there are {n} of these things")\n'
        'raise OptionError("this is an error, though")\n'
    )
    assert list(sentences(code)) == [(3, "there are {} of these things")]


# ── pages ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("english", "chinese"),
    [("README.md", "docs/README.zh.md"), ("docs/tutorials.md", "docs/tutorials.zh.md")],
)
def test_a_page_in_chinese_has_the_same_to_type(english: str, chinese: str) -> None:
    """Code, pictures and rows of commands; what stands around them is a matter of translation."""
    own, other = ((ROOT / name).read_text(encoding="utf-8") for name in (english, chinese))
    code = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
    assert code.findall(other) == code.findall(own)
    pictures = re.compile(r"!\[[^]]*\]\((?:\.\./|docs/)*([^)]*)\)")
    assert pictures.findall(other) == pictures.findall(own)
    commands = re.compile(r"^\| (`ablate [^|]*`|`[a-z]+[0-9]`) \|", re.MULTILINE)
    assert commands.findall(other) == commands.findall(own)
    assert own.count("\n## ") >= other.count("\n## ") > 3
    assert f"({Path(chinese).name})" in own or f"({chinese})" in own
    assert f"({Path(english).name})" in other or f"(../{english})" in other
