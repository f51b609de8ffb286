"""`ablate run --until-decided` from the command line: who is trained, how it ends, what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Shell, rows_of

from ablate.drive import until
from ablate.drive.deciding import Judged, Question
from ablate.drive.options import RunOptions, TrainingOptions
from ablate.execute.base import Done, Executor, Job
from ablate.job import Cohort
from ablate.plan import make_plan
from ablate.result import Epoch, Failed, Finished
from ablate.stats import effects, words
from ablate.store.writing.store import Store
from ablate.study.file import load_study

STUDY = """
name = "until"
dataset = "digits"
image_size = 16
backbone = "cbam_cnn(width=0.25)"
seeds = 2
equivalence_margin = 0.1
[recipe]
epochs = 1
[[grid]]
attention = "none"
[[grid]]
attention = "eca"
position = "pool3"
kernel_size = [3, 5]
[[grid]]
attention = "cbam_spatial"
position = "pool3"
kernel_size = 3
"""
DB = "sqlite:///results.db"
RUN = ("run", "until.toml", "--until-decided", "--no-measure", "--no-probe", "--db", DB)
IMAGES = 359
BETTER, SAME, SPATIAL = "eca(pool3, k=3)", "eca(pool3, k=5)", "cbam_spatial(pool3, k=3)"


def bits(name: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    chance = np.random.default_rng(5).uniform(0.3, 0.9, IMAGES) + {BETTER: 0.3}.get(name, 0.0)
    return rng.random(IMAGES) < chance


class Trained(Executor):
    """One slot; nothing is trained. `outcome` says what becomes of a variant and seed."""

    slots = 1

    def __init__(self, outcome: Callable[[str, int], object]) -> None:
        self._outcome = outcome
        self._jobs: list[tuple[str, Cohort]] = []
        self.begun: list[tuple[str, int]] = []

    @property
    def free(self) -> int:
        return 1 - len(self._jobs)

    def submit(self, job_id: str, job: Job) -> None:
        assert isinstance(job, Cohort)
        self._jobs.append((job_id, job))
        self.begun += [(run.variant.name, job.seed) for run in job.runs]

    def wait(self, timeout_seconds: float) -> list[tuple[str, Any]]:
        return list(self._events(*self._jobs.pop()))

    def _events(self, job_id: str, job: Cohort) -> Iterator[tuple[str, Any]]:
        for run in job.runs:
            yield job_id, (run.run_key, Epoch(1, 2.0, 0.5, 1.9, 0.5, None, None, 1e-3, 1, 1, ()))
            yield job_id, (run.run_key, self._outcome(run.variant.name, job.seed))
        yield job_id, Done()

    def cancel(self, job_id: str) -> None:
        self._jobs.clear()

    def close(self) -> None:
        self._jobs.clear()


def finished(name: str, seed: int) -> Finished:
    right = bits(name, seed)
    packed = np.packbits(right).tobytes()
    return Finished(0.5, float(right.mean()), 1.0, packed, 1.0, 1.0, "none", "fp32")


def chosen(asked: RunOptions, *_: object) -> TrainingOptions:
    """Nothing is measured."""
    return TrainingOptions(device="cpu", max_runs=asked.max_runs)


@pytest.fixture
def run(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str, list[tuple[str, int]]]]:
    Path("until.toml").write_text(STUDY)

    def call(
        *arguments: str, outcome: Callable[[str, int], object] = finished
    ) -> tuple[int, str, str, list[tuple[str, int]]]:
        executor = Trained(outcome)
        monkeypatch.setattr(until, "make_executor", lambda *_: executor)
        monkeypatch.setattr(until, "choose_training", chosen)
        code, out, errors = shell(*RUN, *arguments)
        return code, out, errors, executor.begun

    return call


Run = Callable[..., tuple[int, str, str, list[tuple[str, int]]]]
VARIANTS = ["none", BETTER, SAME, SPATIAL]


def seeds_of(begun: list[tuple[str, int]]) -> dict[str, list[int]]:
    return {name: [seed for each, seed in begun if each == name] for name in VARIANTS}


@pytest.mark.slow
def test_decided_variants_stop_and_the_others_go_on(run: Run) -> None:
    code, out, _, begun = run("--max-seeds", "12")
    assert code == 0
    seeds = seeds_of(begun)
    assert begun[:12] == [(name, seed) for seed in (1, 2, 3) for name in VARIANTS]
    longest = max(map(len, seeds.values()))
    assert len(seeds[BETTER]) < longest == len(seeds["none"])
    assert all(each == list(range(1, len(each) + 1)) for each in seeds.values())
    assert f"{BETTER} is better than none by" in out
    assert f"{SAME} against none: equivalent within ±10.00 points." in out
    fixed = f"a fixed plan with {longest} seeds of each, what the last variant took, is {4 * longest} runs"
    assert f"until: {len(begun)} runs finished; {fixed}" in out
    assert "next: ablate report" in out
    assert len(begun) < 4 * longest


@pytest.mark.slow
def test_every_look_is_stored_and_its_verdicts_come_from_the_data(run: Run) -> None:
    _, _, _, begun = run("--max-seeds", "12", "--margin", "0.09")
    looks = rows_of(DB, "SELECT number, rule, command, n, margin, family FROM v_looks")
    seeds = seeds_of(begun)
    most = len(seeds["none"])
    assert [row[0] for row in looks] == list(range(1, most - 1))
    assert {row[1:3] + row[4:] for row in looks} == {("anytime", "run", 0.09, 3)}
    assert [json.loads(row[3])["none"] for row in looks] == list(range(3, most + 1))
    assert json.loads(looks[-1][3]) == {name: len(each) for name, each in seeds.items()}
    store = Store(DB)
    plan = make_plan(load_study(Path("until.toml"), []))
    key = ("until", str(plan.dataset.content_hash()), plan.study.setting)
    samples = store.standing(key).samples
    store.close()
    found = effects(samples, "none", 0.09, looks=True)
    assert all(each.decided for each in found.values())
    assert {name: each.n for name, each in found.items()} == {
        name: len(each) for name, each in seeds.items() if name != "none"
    }


@pytest.mark.slow
def test_it_goes_on_where_it_was_cut_off(run: Run) -> None:
    _, _, _, whole = run("--max-seeds", "12")
    Path("results.db").unlink()

    def interrupted(name: str, seed: int) -> Finished:
        if (name, seed) == (SPATIAL, 4):
            raise KeyboardInterrupt
        return finished(name, seed)

    code, _, errors, before = run("--max-seeds", "12", outcome=interrupted)
    assert code == 130
    assert "run again to go on" in errors
    _, _, _, after = run("--max-seeds", "12")
    assert before[-1] == after[0] == (SPATIAL, 4)
    assert before[:-1] + after == whole
    code, out, _, again = run("--max-seeds", "12")
    assert (code, again) == (0, [])
    assert f"{BETTER} is better than none" in out
    looks = rows_of(DB, "SELECT DISTINCT finished FROM v_looks")
    assert len(rows_of(DB, "SELECT 1 FROM v_looks")) == len(looks), "the same runs are one look"


@pytest.mark.slow
def test_max_runs_ends_it_before_the_first_look(run: Run) -> None:
    _, out, _, begun = run("--max-runs", "5")
    assert len(begun) == 5
    assert "5 runs finished; the first look comes after 3 seeds: run again to go on" in out
    assert rows_of(DB, "SELECT 1 FROM v_looks") == []


@pytest.mark.slow
def test_what_stays_open_is_named(run: Run) -> None:
    code, out, _, begun = run("--max-seeds", "3", "--margin", "0.0001")
    assert code == 0
    assert len(begun) == 12
    assert f"still open after 3 seeds: {SAME}, {SPATIAL}; --max-seeds 6 goes on" in out
    assert "No difference found, eca(pool3, k=5) against none (could have seen ≥" in out


@pytest.mark.slow
def test_a_variant_that_fails_does_not_hold_up_the_rest(run: Run) -> None:
    def failing(name: str, seed: int) -> object:
        return Failed("diverged", "loss is nan") if name == SPATIAL else finished(name, seed)

    code, out, _, begun = run("--max-seeds", "12", outcome=failing)
    assert code == 1
    assert seeds_of(begun)[SPATIAL] == [1, 2, 3]
    assert f"no further seeds after 3 failed runs: {SPATIAL}" in out
    assert f"{BETTER} is better than none" in out


@pytest.mark.slow
def test_a_later_run_of_fixed_seeds_loses_none_of_those_that_were_added(
    run: Run, shell: Shell
) -> None:
    _, _, _, begun = run("--max-seeds", "12")
    code, _, _ = shell(
        "run", "until.toml", "--no-measure", "--no-probe", "--max-runs", "0", "--db", DB
    )
    assert code == 0
    assert rows_of(DB, "SELECT COUNT(*) FROM v_runs WHERE status = 'finished'") == [(len(begun),)]


WIDE = f"grid=[{{attention='none'}}, {{attention='se', position='pool3', reduction={[*range(1, 101)]}}}]"


@pytest.mark.slow
def test_runs_that_another_study_has_trained_count_as_in_a_report(run: Run) -> None:
    grid = "grid=[{attention='none'}, {attention='cbam_spatial', position='pool3', kernel_size=3}]"
    other = ("--set", "name=other", "--set", grid)
    _, _, _, begun = run(*other, "--max-seeds", "5", "--margin", "0.0001")
    assert seeds_of(begun)[SPATIAL] == [1, 2, 3, 4, 5]
    code, out, _, begun = run("--max-seeds", "5", "--margin", "0.2")
    assert code == 0
    assert seeds_of(begun) == {"none": [], BETTER: [1, 2, 3], SAME: [1, 2, 3], SPATIAL: []}
    store = Store(DB)
    plan = make_plan(load_study(Path("until.toml"), []))
    key = ("until", str(plan.dataset.content_hash()), plan.study.setting)
    found = effects(store.standing(key).samples, "none", 0.2, looks=True)
    store.close()
    assert {name: each.n for name, each in found.items()} == {BETTER: 3, SAME: 3, SPATIAL: 5}
    for each in found.values():
        assert words.claim(each) in out
    looks = rows_of(DB, "SELECT n FROM v_looks WHERE study = 'until'")
    assert [json.loads(n)[SPATIAL] for (n,) in looks] == [5]


def in_contexts(values: str) -> None:
    text = STUDY.replace("epochs = 1\n", f"epochs = 1\n{values}\n")
    Path("until.toml").write_text(text)


@pytest.mark.slow
def test_each_context_is_decided_by_itself(run: Run) -> None:
    in_contexts("label_smoothing = [0.0, 0.1]")
    code, out, _, begun = run("--max-seeds", "12")
    assert code == 0
    said = [line for line in out.splitlines() if line.startswith("context ")]
    first, second = "context label_smoothing=0.0", "context label_smoothing=0.1"
    assert said == [first, second, first, second], "all are looked at before one is trained"
    half = len(begun) // 2
    assert begun[:half] == begun[half:], "of the same outcomes each context needs the same seeds"
    looks = rows_of(DB, "SELECT setting, rule, COUNT(*) FROM v_looks GROUP BY setting, rule")
    assert [rule for _, rule, _ in looks] == ["anytime", "anytime"]
    assert looks[0][2] == looks[1][2] >= 1
    assert out.count(f"{BETTER} is better than none by") == 2
    code, _, _, again = run("--max-seeds", "12")
    assert (code, again) == (0, []), "what is decided stays so"


@pytest.mark.slow
def test_a_control_of_one_context_is_decided_there(run: Run) -> None:
    in_contexts("label_smoothing = [0.0, 0.1]")
    placebo = (
        '[[grid]]\nattention = "identity"\nposition = "pool3"\n"recipe.label_smoothing" = 0.1\n'
    )
    text = (
        Path("until.toml").read_text().replace("seeds = 2", 'seeds = 2\ncontrols = ["identity*"]')
    )
    Path("until.toml").write_text(text + placebo)
    code, out, errors, begun = run("--max-seeds", "12")
    assert (code, errors) == (0, "")
    assert out.count(f"{BETTER} is better than none by") == 2
    assert out.count("identity(pool3) against none") == 1
    placebos = [seed for name, seed in begun if name == "identity(pool3)"]
    assert placebos[:3] == [1, 2, 3]


def test_a_context_that_cannot_be_decided_is_told_before_another_is_trained(run: Run) -> None:
    in_contexts('split = ["validation", "tutorial"]')
    code, _, errors, begun = run()
    assert (code, begun) == (2, [])
    assert errors.count("\n") == 1
    assert "no verdict is claimed" in errors
    assert not Path("results.db").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--until-decided", "--seeds", "4"), "bound them with --max-seeds"),
        (("--until-decided", "--max-seeds", "2"), "--max-seeds 2: a verdict takes 3 seeds or more"),
        (
            ("--until-decided", "--max-seeds", "2000000"),
            "--max-seeds 2000000: at most 1,000, as later seeds are those that a search confirms with",
        ),
        (
            ("--until-decided", "--max-seeds", "1000", "--set", WIDE),
            "--max-seeds 1000: of 101 variants these are 101,000 cells; at most 100,000 fit into one study",
        ),
        (("--until-decided", "--margin", "1.5"), "--margin 1.5: it is in accuracy"),
        (("--margin", "0.1"), "--margin and --max-seeds belong to --until-decided"),
        (("--max-seeds", "9"), "--margin and --max-seeds belong to --until-decided"),
        (("--until-decided", "--set", "recipe.split=tutorial"), "no verdict is claimed"),
        (
            ("--until-decided", "--set", "grid=[{attention='none'}]"),
            "no variant besides its baseline",
        ),
    ],
)
def test_what_cannot_be_decided_is_refused(
    shell: Shell, arguments: tuple[str, ...], said: str
) -> None:
    Path("until.toml").write_text(STUDY)
    code, _, errors = shell("run", "until.toml", "--no-probe", "--db", DB, *arguments)
    assert code == 2
    assert said in errors
    assert errors.count("\n") == 1
    assert not Path("results.db").exists()


@pytest.mark.parametrize(
    ("most", "said"),
    [(600, "--max-seeds 1000 goes on"), (1000, "other; no study has more seeds")],
)
def test_nobody_is_sent_beyond_the_seeds_of_a_grid(most: int, said: str) -> None:
    question = Question(("other",), "none", 0.01, max_seeds=most)
    *_, last = until.told(question, Judged(most, {}, ("other",)), 2 * most, 0)
    assert last.endswith(said)
