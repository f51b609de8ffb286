"""A user's metric: how it is named, what it may be, and that what it gives wrongly is told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.own_metrics import KAPPA, MODULE, importable, write_module

from ablate.errors import CodeChangedError, OptionError, StudyError
from ablate.identity.own_metric import name_metric, prove_metric
from ablate.stats.own_metric import OwnMetric, find_own_metric, made_up, try_own_metric
from ablate.study.metrics import METRICS, metric_named, metric_stored, metric_to_judge_by
from ablate.study.options import split_call
from ablate.study.own_metrics import LONGEST_STORED, stored_name
from ablate.system.software.imports import ALLOWED


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(ALLOWED, MODULE)
    file = write_module(tmp_path)
    with importable(tmp_path):
        yield file


def test_it_is_what_its_definition_says(module: Path) -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9]])
    # 3 of 4 are right; by chance 1/2·1/4 + 1/2·3/4 = 1/2 would be.
    assert find_own_metric(f"{MODULE}:kappa")(labels, probabilities) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("percent", "gives 87.5: .* never below -1"),
        ("nothing", "gives None, not a number"),
        ("several", r"gives numpy.ndarray of shape \(24,\), not a number"),
        ("no_number", "gives nan"),
        ("of_a_learner", "gives nan.* all of which a network says are of one class"),
        ("raising", "computing it of 24 images failed: ValueError: no such images"),
        ("another", "of the same images"),
    ],
)
def test_what_is_no_fraction_is_told_before_anything_is_trained(
    module: Path, name: str, told: str
) -> None:
    with pytest.raises(StudyError, match=f"^{MODULE}:{name}.* {told}") as caught:
        try_own_metric(find_own_metric(f"{MODULE}:{name}"), 10)
    assert "\n" not in str(caught.value)


def test_what_is_outside_by_rounding_alone_is_one(module: Path) -> None:
    assert find_own_metric(f"{MODULE}:rounded")(*made_up(3)) == 1


def test_kappa_of_more_classes_than_images_of_a_batch_is_a_number(module: Path) -> None:
    try_own_metric(find_own_metric(f"{MODULE}:kappa"), 1000)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("kappa(beta=2)", "takes no 'beta'"),
        ("kappa(power=word)", "power must be of type int"),
        ("swapped", "takes probabilities first"),
        ("alone", "takes labels: a metric is a function of"),
    ],
)
def test_how_it_is_called_wrongly_is_told(module: Path, call: str, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        find_own_metric(f"{MODULE}:{call}")


def test_a_class_and_what_is_not_there_are_refused(module: Path) -> None:
    with pytest.raises(StudyError, match="is a class, not a plain function"):
        find_own_metric(f"{MODULE}:Scorer")
    with pytest.raises(StudyError, match="did you mean 'kappa'"):
        find_own_metric(f"{MODULE}:kapa")


def test_its_package_must_be_allowed(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOWED, "")
    with pytest.raises(StudyError, match=f"add --allow-import {MODULE}"):
        find_own_metric(f"{MODULE}:kappa")


def test_its_hash_is_of_source_and_options_as_they_are_written(module: Path) -> None:
    """What it gives is stored under its name in the study: under another there would be nothing of a run."""

    def hash_of(call: str) -> str:
        return name_metric(find_own_metric(f"{MODULE}:{call}")).digest

    first = hash_of("kappa")
    assert first == hash_of("kappa")
    others = [hash_of(f"kappa(power={power})") for power in (1, 2)]
    assert len({first, *others, hash_of("percent")}) == 4
    named = name_metric(find_own_metric(f"{MODULE}:kappa(power=1)"))
    assert prove_metric(named)[0].name == named.name
    write_module(module.parent, KAPPA + "# another line\n")
    assert hash_of("kappa") != first


def test_a_worker_that_has_other_source_refuses(module: Path) -> None:
    named = name_metric(find_own_metric(f"{MODULE}:kappa"))
    prove_metric(named)[1].check_code()
    write_module(module.parent, KAPPA.replace("return (float", "return 0.5 * (float"))
    with pytest.raises(CodeChangedError, match=f"other source {MODULE}"):
        prove_metric(named)


def test_names_are_written_in_one_way_and_stored_whole_or_with_a_hash() -> None:
    named = metric_to_judge_by("mypkg.metrics:fbeta( beta = 2,average='macro' )")
    assert named == "mypkg.metrics:fbeta(average=macro, beta=2)"
    assert metric_to_judge_by(named) == named
    assert metric_named(named).title == "fbeta(average=macro, beta=2)"
    assert stored_name("mypkg.metrics:kappa") == "mypkg.metrics:kappa"
    long = stored_name(named)
    assert len(long) == LONGEST_STORED or long.startswith("fbeta~")
    assert long != stored_name("mypkg.metrics:fbeta(average=macro, beta=3)")
    stored = metric_stored(long)
    assert stored is not None
    assert stored.title == "fbeta"
    assert metric_named("mypkg.metrics:accuracy").title == "mypkg.metrics:accuracy"
    assert all(stored_name(name) == name for name in METRICS)


@pytest.mark.parametrize(
    "value",
    ["inf", "-inf", "nan", '"\U0001f600"', "[1, 2.5, inf]", '["a b", "é"]', '"a\\u007Fb"', "true"],
)
def test_a_value_is_written_so_that_it_is_read_as_it_was(value: str) -> None:
    named = metric_to_judge_by(f"m:f(beta={value})")
    assert metric_to_judge_by(named) == named
    told, said = (repr(split_call(each)[1]["beta"]) for each in (f"m:f(beta={value})", named))
    assert told == said


def test_a_name_that_is_too_long_is_told_so() -> None:
    with pytest.raises(ValueError, match="at most 200 letters"):
        metric_to_judge_by(f"m:{'f' * 300}")


def test_the_best_value_in_single_precision_is_1() -> None:
    assert OwnMetric("m:f", lambda *_: np.float32(1.0000001), {})(*made_up(2)) == 1.0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["mypkg:", "mypkg.metrics:1x", "a b:c", "mypkg:f(2)", "m:f(a={b=1})"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"mypkg|a b|m:f"):
        metric_to_judge_by(name)
