"""Which language people are told something in, and that a message says the same in each."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from ablate.errors import OptionError
from ablate.system.messages.language import (
    ENGLISH,
    Said,
    SaidAmount,
    _,
    amount,
    closed_up,
    language,
    language_of,
    noun,
    retold,
    speak,
    spoken,
    written_in,
)


@pytest.fixture
def chinese() -> Iterator[None]:
    with spoken("zh"):
        yield


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW"}, "zh"),
        ({"LC_ALL": "C.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "zh_CN.UTF-8", "LANG": "en_GB.UTF-8"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"ABLATE_LANGUAGE": "en", "LC_ALL": "zh_CN.UTF-8"}, "en"),
        ({"ABLATE_LANGUAGE": "zh"}, "zh"),
    ],
)
def test_the_environment_says_the_language(environment: dict[str, str], expected: str) -> None:
    assert language_of(environment) == expected


def test_a_language_that_there_is_not_is_an_error() -> None:
    with pytest.raises(OptionError, match="ABLATE_LANGUAGE=fr: there are: en, zh"):
        language_of({"ABLATE_LANGUAGE": "fr"})
    with pytest.raises(OptionError, match="--language fr: there are: en, zh"):
        speak("fr")


def test_no_question_marks_are_written_where_letters_cannot() -> None:
    assert written_in("zh", "en", "utf-8") == written_in(None, "zh", "gbk") == "zh"
    assert written_in(None, "zh", "ascii") == written_in(None, "zh", None) == "en"
    assert written_in("en", "zh", "ascii") == "en"
    with pytest.raises(OptionError, match="--language zh: stdout is latin-1, which has no letter"):
        written_in("zh", "en", "latin-1")


def test_another_language_is_spoken_for_a_while() -> None:
    with spoken("zh"):
        assert language() == "zh"
        with pytest.raises(OptionError), spoken("en"):
            speak("fr")
        assert language() == "zh"
    assert language() == ENGLISH


def test_english_is_the_message_with_its_values() -> None:
    assert _("{n:,} of {total:,}", n=1234, total=5678) == "1,234 of 5,678"
    assert amount(1, "variant") == "1 variant"
    assert amount(2, "process", "processes") == "2 processes"
    assert noun("seed") == "seed"


@pytest.mark.usefixtures("chinese")
def test_chinese_is_the_same_with_the_same_values() -> None:
    assert _("{n:,} of {total:,}", n=1234, total=5678) == "1,234 / 5,678"
    assert (amount(1, "variant"), amount(2000, "variant")) == ("1 个变体", "2,000 个变体")
    assert (noun("seed"), amount(3, "seed")) == ("种子", "3 个种子")


@pytest.mark.usefixtures("chinese")
def test_what_no_catalogue_has_is_told_in_english() -> None:
    assert _("{n} dragons", n=3) == "3 dragons"


def test_what_is_kept_is_english_and_told_later() -> None:
    kept = Said("{n} finished", n=3)
    assert (str(kept), retold(kept), retold("3 finished")) == ("3 finished",) * 3
    with spoken("zh"):
        assert (str(kept), retold(kept), retold("3 finished")) == (
            "3 finished", "3 次已完成", "3 finished",
        )  # fmt: skip


def test_what_is_kept_goes_to_other_processes() -> None:
    kept = Said("{told} in {{braces}}", told=Said("{runs} done", runs=SaidAmount(2, "run")))
    again = pickle.loads(pickle.dumps(kept))
    assert (again, again.message) == ("2 runs done in {braces}", kept.message)
    with spoken("zh"):
        assert "2 次运行" in retold(again)


def test_no_space_stands_behind_a_full_stop_of_chinese() -> None:
    text = "未定。 判定；  是 a。"
    assert closed_up(text) == text
    with spoken("zh"):
        assert closed_up(text) == "未定。判定；是 a。"
