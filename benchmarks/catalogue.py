"""`python -m benchmarks.catalogue`: bring the catalogues of `ablate/locale` up to date with the code.

Messages that are new stand in `ablate.po` without a translation and are told in English until they have one;
those that nothing says any more are gone. `--check` writes nothing and fails if something would change.
"""

from __future__ import annotations

import argparse
import ast
import io
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from ablate.system.messages.language import DOMAIN, ENGLISH, LANGUAGES

ROOT = Path(__file__).parent.parent
LOCALE = ROOT / "ablate" / "locale"
CONTEXTS = {
    **{"_": None, "N_": None, "Said": None},
    **{"noun": "noun", "NOUN_": "noun", "amount": "counted", "SaidAmount": "counted"},
}
"""What marks a message, and in which context it is looked up."""
EXIT_CHANGED = 1
WIDTH = 110
NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)
"""The same messages give the same bytes."""
HEAD = r"""# What ablate tells people, in the order of the code. `make words` brings it up to date.
msgid ""
msgstr ""
"Language: LANGUAGE\n"
"Content-Type: text/plain; charset=utf-8\n"
"Content-Transfer-Encoding: 8bit\n"

"""


def main(arguments: Sequence[str]) -> int:
    """Write the catalogues, or say which would change."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalogue", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    check = parser.parse_args(arguments).check
    changed = [file for file, content in catalogues() if not _same(file, content)]
    for file, content in catalogues() if not check else ():
        file.write_bytes(content)
    for file in changed:
        print(f"{file.relative_to(ROOT)}: {'would change' if check else 'written'}")
    return EXIT_CHANGED if check and changed else 0


def messages() -> Iterator[tuple[str | None, str]]:
    """Every message of the code with its context, once, in the order of files and lines."""
    seen: dict[tuple[str | None, str], None] = {}
    for path in sorted((ROOT / "ablate").rglob("*.py")):
        for found in messages_of(path.read_text(encoding="utf-8")):
            seen.setdefault(found)
    yield from seen


def messages_of(code: str) -> Iterator[tuple[str | None, str]]:
    """The messages of one file, also those inside of f-strings, which Babel's own extraction passes over."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        given = call.args[1:2] if CONTEXTS.get(name) == "counted" else call.args[:1]
        for each in given if name in CONTEXTS else ():
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                yield CONTEXTS[name], each.value


def catalogues() -> Iterator[tuple[Path, bytes]]:
    """The .po and the .mo file of each language, and what is to be in them."""
    for language in LANGUAGES:
        if language != ENGLISH:
            folder = LOCALE / language / "LC_MESSAGES"
            known = read_catalogue(folder / f"{DOMAIN}.po")
            yield from _files(folder, _renewed(known, language))


def read_catalogue(file: Path) -> Catalog:
    """A catalogue as it is written."""
    with file.open("rb") as opened:
        return read_po(opened)


def _renewed(known: Catalog, language: str) -> Catalog:
    """The same translations of what is said now."""
    found = Catalog(
        locale=language, domain=DOMAIN, project="ablate", version="0", msgid_bugs_address="-",
        last_translator="-", language_team="-", creation_date=NO_DATE, revision_date=NO_DATE, fuzzy=False,
    )  # fmt: skip
    for context, text in messages():
        old = known.get(text, context)
        found.add(text, old.string if old is not None else "", context=context)
    return found


def _files(folder: Path, catalogue: Catalog) -> Iterator[tuple[Path, bytes]]:
    text, compiled = io.BytesIO(), io.BytesIO()
    write_po(text, catalogue, width=WIDTH, omit_header=True)
    write_mo(compiled, catalogue)
    head = HEAD.replace("LANGUAGE", catalogue.locale_identifier or ENGLISH).encode()
    yield folder / f"{DOMAIN}.po", head + text.getvalue()
    yield folder / f"{DOMAIN}.mo", compiled.getvalue()


def _same(file: Path, content: bytes) -> bool:
    return file.exists() and file.read_bytes() == content


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
