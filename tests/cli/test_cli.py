"""The command line: what it prints, how it exits, and that bad input leaves nothing behind."""

from __future__ import annotations

import io
import json
import math
import sqlite3
import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import Shell, rows_of
from PIL import Image

from ablate.drive import costs
from ablate.measure.throughput import Protocol

STUDIES = Path(__file__).parents[2] / "studies"
DIGITS = str(STUDIES / "digits-grid.toml")
ATTENTION = str(STUDIES / "attention.toml")
TINY = ["--set", "recipe.epochs=1", "--set", "recipe.batch_size=128", "--set", "recipe.augment=[]",
        "--set", "image_size=16"]  # fmt: skip


def archive(path: Path, broken: bool = False) -> Path:
    """A real archive of 2 classes: 12 small JPEGs to train on and 4 to test."""
    generator = np.random.default_rng(0)
    with tarfile.open(path, "w:xz") as tar:
        for name in ("train", "test"):
            for label in ("cat", "dog"):
                for i in range(6 if name == "train" else 2):
                    data = io.BytesIO()
                    pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(data, "JPEG")
                    content = data.getvalue()[: 100 if broken and i == 1 else None]
                    member = tarfile.TarInfo(f"{name}/{label}/{i}.jpg")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    "how", [("--no-measure", "--executor", "inprocess"), pytest.param((), marks=pytest.mark.slow)],
    ids=["quick", "measured"],
)  # fmt: skip
def test_from_nothing_to_a_report(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    how: tuple[str, ...],
) -> None:
    """In this process, nothing measured and dots for figures; or as it is without these options."""
    if how:
        request.getfixturevalue("words_alone")
    monkeypatch.setattr(costs, "quick", lambda _subjects: Protocol("quick", 3, 1, 0.01))
    options = [*TINY, "--device", "cpu", *how]
    code, out, _ = shell("run", DIGITS, *options, "--max-runs", "2", "--seeds", "1")
    assert code == 0
    assert "2 of 11 runs finished" in out
    assert "left" in out, "the time left is shown"
    code, out, _ = shell("report", DIGITS, *TINY)
    assert code == 0
    told = out.splitlines()
    assert told[-1] == "next: open reports/digits-grid/report.html"
    folder = shell.folder / "reports" / "digits-grid"
    written = {path for path in folder.rglob("*") if path.is_file()}
    names = {
        shell.folder / line.partition(": ")[0].removeprefix("wrote ") / name
        for line in told[:-1]
        for name in line.partition(": ")[2].split(", ")
    }
    assert names == written, "every file is named"
    page = (shell.folder / "reports/digits-grid/report.html").read_text()
    assert "amp-bf16" in page or "fp32" in page
    code, out, _ = shell("plan", DIGITS, *TINY, "--seeds", "1", "--format", "json")
    plan = json.loads(out)
    assert [cell["status"] for cell in plan["cells"]] == ["finished"] * 2 + ["planned"] * 9
    assert plan["missing"] == 9
    assert plan["estimated_seconds"] > 0
    code, out, _ = shell("doctor")
    assert code == 0
    assert "intact" in out
    with sqlite3.connect("results/ablation.db") as database:
        rows = database.execute("SELECT mode, COUNT(*) FROM v_costs GROUP BY mode").fetchall()
        if how:
            assert rows == []
            return
        assert rows == [("infer", 2), ("train", 2)]
        operators = database.execute("SELECT DISTINCT operator FROM v_profile").fetchall()
        assert any("convolution" in operator for (operator,) in operators)


@pytest.mark.slow
def test_a_measurement_that_is_lost_is_an_error_and_no_run_is(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No number of steps fills such a block: each measuring process raises.
    monkeypatch.setattr(costs, "quick", lambda _subjects: Protocol("quick", 3, 1, math.inf))
    monkeypatch.setattr(Protocol, "seconds", lambda _self, _networks: 1.0)
    options = [*TINY, "--device", "cpu", "--executor", "inprocess", "--max-runs", "1"]
    code, out, _ = shell("run", DIGITS, *options, "--seeds", "1")
    assert code == 1, "so `make ablation` makes the report and ends with an error"
    assert "run again to measure" in out
    assert "1 of 11 runs finished" in out


@pytest.mark.slow
def test_images_from_an_archive_carry_its_name(shell: Shell, tmp_path: Path) -> None:
    path = archive(tmp_path / "pets.tar.xz")
    options = ["--data", str(path), "--set", "recipe.epochs=1", "--max-runs", "1", "--no-measure"]
    code, _, errors = shell("run", ATTENTION, *options)
    assert (code, errors) == (0, "")
    with sqlite3.connect("results/ablation.db") as database:
        query = "SELECT dataset, status, COUNT(*) FROM v_runs GROUP BY status ORDER BY status"
        assert database.execute(query).fetchall() == [
            ("pets", "finished", 1),
            ("pets", "planned", 289),
        ]
        assert database.execute("SELECT COUNT(*) FROM v_costs").fetchall() == [(0,)]


@pytest.mark.slow
def test_the_reference_grid_as_json(shell: Shell) -> None:
    code, out, _ = shell("plan", ATTENTION, "--format", "json")
    plan = json.loads(out)
    assert code == 0
    assert len({cell["variant"] for cell in plan["cells"]}) == 27
    assert plan["missing"] == len(plan["cells"]) == 290
    assert plan["estimated_seconds"] is None
    assert set(plan["cells"][0]) == {
        "run_key", "variant", "attention", "position", "reduction", "kernel_size", "seed", "fold",
        "parameters", "attention_parameters", "macs", "elementwise", "activations", "uncounted",
        "status",
    }  # fmt: skip
    keys = {cell["run_key"] for cell in plan["cells"]}
    assert len(keys) == 290, "the content of cifar10 is pinned, so its keys are known"
    assert None not in keys
    assert shell.files() == []


@pytest.mark.slow
def test_a_study_can_train_on_a_few_images_that_each_seed_draws(shell: Shell) -> None:
    few = [*TINY, "--set", "data.train_images=130"]
    once = ["--device", "cpu", "--executor", "inprocess", "--max-runs", "1", "--no-measure"]
    code, _, errors = shell("run", DIGITS, *few, *once)
    assert code == 0, errors
    url = f"sqlite:///{shell.folder / 'results' / 'ablation.db'}"
    assert rows_of(url, "SELECT COUNT(*) FROM v_steps") == [(2,)], "batches of 128 and 2 images"
    [(conditions,)] = rows_of(url, "SELECT DISTINCT recipe FROM runs")
    assert json.loads(str(conditions))["data.train_images"] == 130
    code, _, errors = shell("report", DIGITS, *TINY)
    assert code == 2
    assert "split=validation, train_images=130 (use the" in errors


@pytest.mark.slow
def test_the_table_shows_every_variant_whole(shell: Shell) -> None:
    code, out, _ = shell("plan", ATTENTION, "--seeds", "5", "--baseline-seeds", "5")
    assert code == 0
    assert "cbam(pool1+pool3, r=16, k=7)" in out
    assert "27 variants, 135 cells on cifar10 (32×32), 135 missing" in out


def text(content: str | bytes) -> object:
    def write(folder: Path) -> str:
        path = folder.parent / "input"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def broken_image(folder: Path) -> str:
    return str(archive(folder.parent / "broken.tar.xz", broken=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", text("name = ")], "is not TOML"),
        (["run", DIGITS, "--set", "recipe.epoch=1"], "unknown key 'recipe.epoch' (did you mean"),
        (["run", DIGITS, "--set", "backbone=cbam_cn"], "unknown backbone 'cbam_cn' (did you mean"),
        (["run", DIGITS, "--set", "grid=[{attention='see', position='pool1'}]"], "unknown attention"),
        (
            ["run", DIGITS, "--set", "grid=[{attention='none'}, {attention='se', position='poool1'}]"],
            "matches no module (did you mean 'pool1'?); attention can go after: conv1, bn1",
        ),
        (
            [
                "run", DIGITS, "--set",
                "grid=[{attention='none'}, {attention='se', position='pool1', reduction=64}]",
            ],
            "channels // reduction < 1",
        ),
        (
            [
                "run", DIGITS, "--set",
                "grid=[{attention='none'}, {attention='cbam', position='pool1', kernel_size=4}]",
            ],
            "kernel_size must be odd and at least 1, not 4",
        ),
        (["run", DIGITS, "--set", "data.train_image=9"], "unknown key 'data.train_image' (did you mean"),
        (["run", DIGITS, "--set", "data.train_images=0"], "data.train_images: input should be greater than"),
        (["run", DIGITS, "--set", "data.train_images=9"], "is 9, fewer than the 10 classes: give"),
        (["run", DIGITS, "--set", "data.train_images=1296"], "there are 1,295 images to draw from: give"),
        (["run", DIGITS, "--set", "dataset=digits(test_fraction=1.0)"], "above 0 and below 1, not 1"),
        (["plan", DIGITS, "--no-probe", "--set", "data.train_images=9999"], "give at most 1,295"),
        (["plan", DIGITS, "--set", "backbone=:"], "write a network of your own as PACKAGE.MODULE:NAME"),
        (["run", DIGITS, "--seeds", "0"], "seeds: input should be greater than or equal to 1, not 0"),
        (["run", DIGITS, "--seeds", "10001"], "seeds: input should be less than or equal to 10000"),
        (["run", DIGITS, "--seeds", "10000"], "at most 100,000 fit into one study"),
        (["run", DIGITS, "--data", "absent.tar.xz"], "absent.tar.xz"),
        (["run", DIGITS, "--data", text(b"\xfd7zXZ no archive")], "input"),
        (["run", ATTENTION, "--data", broken_image], "train/cat/1.jpg"),
        (["run", DIGITS, "--db", text("no database")], "is not an SQLite database"),
        (["run", DIGITS, "--db", "mysql://root:secret@host/db"], "only SQLite and PostgreSQL are supported"),
        (["run", DIGITS, "--executor", "rya"], "unknown executor 'rya' (did you mean 'ray'?)"),
        (["run", DIGITS, "--set", "recipe.learning_rate=inf"], "input should be a finite number"),
        (["plan", "/dev/zero"], "/dev/zero: is no file"),
        (["run", DIGITS, "--data", "/dev/zero"], "/dev/zero: is neither a file nor a folder"),
        (["run", "absent.toml"], "absent.toml: cannot be read: No such file"),
        (["report", DIGITS], "there is no database yet: `ablate run STUDY` makes it"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line_exit_code_2_and_nothing_left_behind(
    shell: Shell, arguments: list[object], message: str
) -> None:
    given = [a if isinstance(a, str) else a(shell.folder) for a in arguments]
    code, _, errors = shell(*given)
    assert code == 2
    assert errors.count("\n") == 1, errors
    assert errors.startswith("ablate: ")
    assert message in errors
    assert "secret" not in errors
    assert shell.files() == []


def test_a_cuda_device_that_is_not_there(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, errors = shell("run", DIGITS, "--device", "cuda")
    assert (code, errors.count("\n")) == (2, 1)
    assert "torch finds no usable CUDA device" in errors
    assert shell.files() == []


@pytest.mark.parametrize("arguments", [["runn"], ["run"], ["run", DIGITS, "--sed", "x"]])
def test_a_mistyped_command_line_exits_with_2(shell: Shell, arguments: list[str]) -> None:
    code, _, errors = shell(*arguments)
    assert code == 2
    assert errors.startswith("ablate: ")
    assert errors.count("\n") == 1
    assert "--help`" in errors
    assert "Traceback" not in errors


@pytest.mark.slow
@pytest.mark.parametrize("command", ["plan", "run", "report", "doctor"])
def test_a_damaged_database_is_one_line(shell: Shell, command: str) -> None:
    shell("run", DIGITS, *TINY, "--max-runs", "0")
    path = shell.folder / "results/ablation.db"
    with sqlite3.connect(path) as database:
        query = "SELECT rootpage FROM sqlite_master WHERE name IN ('runs', 'studies', 'cells')"
        pages = [page for (page,) in database.execute(query)]
        [(size,)] = database.execute("PRAGMA page_size").fetchall()
    database.close()
    content = bytearray(path.read_bytes())
    for page in pages:
        content[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(content)
    code, out, errors = shell(command, *([] if command == "doctor" else [DIGITS, *TINY]))
    if command == "doctor":
        assert code == 1
        assert "WRONG  database" in out
    else:
        assert (code, errors.count("\n")) == (2, 1)
        assert "malformed" in errors


@pytest.mark.slow
def test_a_report_follows_the_wording_of_the_study_and_refuses_what_was_not_run(
    shell: Shell,
) -> None:
    shell("run", DIGITS, *TINY, "--max-runs", "0")
    now = ["--set", "question=Why not?", "--set", "baseline=se(pool1, r=16)"]
    now += ["--set", 'controls=["none"]']
    code, _, _ = shell("report", DIGITS, *TINY, *now)
    page = (shell.folder / "reports/digits-grid/report.md").read_text()
    assert code == 0
    assert "Why not?" in page
    assert "Baseline: se(pool1, r=16)" in page.replace("\\", "")
    assert "Against the control none" in page
    for changed, message in (
        ("dataset=digit", "unknown dataset 'digit' (did you mean 'digits'?)"),
        ("baseline=se(pool9)", "the baseline 'se(pool9)' is no variant that was run"),
        ("backbone=another", "no runs of study 'digits-grid'"),
        ("image_size=64", "no runs of study 'digits-grid'"),
    ):
        code, _, errors = shell("report", DIGITS, *TINY, "--set", changed)
        assert (code, errors.count("\n")) == (2, 1)
        assert message in errors
    code, out, _ = shell("report", DIGITS, *TINY, "--set", "grid=[{attention='none'}]")
    assert "note: the grid has changed since it was run" in out


@pytest.mark.slow
def test_a_report_is_checked_and_left_as_it_is(shell: Shell) -> None:
    shell("run", DIGITS, *TINY, "--max-runs", "0")
    folder = shell.folder / "reports/digits-grid"
    code, out, _ = shell("report", DIGITS, *TINY, "--check")
    assert code == 1, "there is none yet"
    assert "reports/digits-grid/report.md: not what the database gives" in out
    assert not folder.exists()
    shell("report", DIGITS, *TINY)
    assert shell("report", DIGITS, *TINY, "--check") == (0, "", "")
    page = folder / "report.md"
    page.write_text(page.read_text() + "And more.\n")
    (folder / "figures").mkdir()  # of a study without a run there is none
    (folder / "figures" / "loss.png").write_bytes(b"of an earlier report")
    code, out, _ = shell("report", DIGITS, *TINY, "--check")
    assert code == 1
    assert [line.partition(": ")[0] for line in out.splitlines()] == [
        "reports/digits-grid/report.md",
        "reports/digits-grid/figures/loss.png",
    ]


@pytest.mark.slow
def test_a_report_folder_that_cannot_be_made(shell: Shell) -> None:
    shell("run", DIGITS, *TINY, "--max-runs", "0")
    (shell.folder / "file").write_text("in the way")
    code, _, errors = shell("report", DIGITS, *TINY, "--out", "file/report")
    assert (code, errors.count("\n")) == (2, 1)
    assert "file" in errors


@pytest.mark.slow
def test_a_failed_run_exits_with_1_and_retry_failed_trains_it_again(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["run", DIGITS, *TINY, "--seeds", "1", "--max-runs", "1", "--executor", "inprocess"]
    options += ["--no-measure"]
    with monkeypatch.context() as patched:
        patched.setattr("ablate.job.session.build", lambda *_: 1 / 0)
        code, out, _ = shell(*options)
    assert code == 1
    assert "FAILED (error): ZeroDivisionError: division by zero" in out
    assert "1 failed (see the report; --retry-failed trains them again)" in out
    code, out, _ = shell("report", DIGITS, *TINY)
    assert code == 0
    page = (shell.folder / "reports/digits-grid/report.html").read_text()
    assert "ZeroDivisionError" in page
    code, out, _ = shell(*options, "--retry-failed")
    assert code == 0
    assert "1 of 11 runs finished" in out


@pytest.mark.parametrize(
    ("command", "function"),
    [
        (["plan", DIGITS], "ablate.commands.plan.show_plans"),
        (["report", DIGITS], "ablate.commands.contexts.build_reports"),
        (["status"], "ablate.commands.status.show_status"),
        (["run", DIGITS, "--no-measure"], "ablate.drive.run.run_study"),
    ],
)
def test_whoever_interrupts_a_command_is_told_so_in_one_line(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, command: list[str], function: str
) -> None:
    def interrupt(*_given: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(function, interrupt)
    code, _, errors = shell(*command)
    assert code == 130
    assert [line for line in errors.splitlines() if "interrupted" in line] == errors.splitlines()[
        -1:
    ]
    assert errors.splitlines()[-1].startswith("ablate: interrupted")


def test_the_version_and_the_help_need_no_torch(shell: Shell) -> None:
    code, out, _ = shell("--version")
    assert (code, out) == (0, "ablate 0.1.0\n")
    code, out, _ = shell("--help")
    assert code == 0
    assert all(command in out for command in ("plan", "run", "report", "doctor"))
