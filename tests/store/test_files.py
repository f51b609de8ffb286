"""Checkpoints and weights elsewhere than beside the database: in another folder, or where fsspec reaches."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from conftest import claim_one, message, rows_of

from ablate.errors import DatabaseError, OptionError, WeightsError
from ablate.plan import Plan
from ablate.result import Checkpoint, Epoch, Finished, Kept
from ablate.store.files import remote as remote_files
from ablate.store.files.beside import VARIABLE, RemoteFiles, check_files, files_of
from ablate.store.files.weights import read_weights
from ablate.store.maintenance.health import lost_files
from ablate.store.reading.runs import StoredRun, stored_runs
from ablate.store.writing.store import Store

EPOCH = Epoch(1, 2.0, 0.5, 1.9, 0.55, None, None, 1e-3, 2.0, 500.0)
FINISHED = Finished(0.55, 0.5, 1.8, b"\xf0", 4.0, 500.0, "a machine", "fp32")


@pytest.fixture(autouse=True)
def _emptied() -> None:
    """The file system in memory is one for the whole process."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    remote_files.open_remote.cache_clear()


@pytest.fixture(params=["memory://results", "file://{folder}/seen by all", "{folder}/seen"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    chosen = str(request.param).format(folder=tmp_path)
    monkeypatch.setenv(VARIABLE, chosen)
    return chosen


@pytest.fixture
def store(url: str, plan: Plan, open_store: Callable[[str], Store]) -> Store:
    made = open_store(url)
    made.register(plan)
    return made


def keys(plan: Plan) -> list[str]:
    return [str(cell.run_key) for cell in plan.cells]


def stored(plan: Plan, url: str, run_key: str) -> StoredRun:
    study, content = plan.study, str(plan.dataset.content_hash())
    runs = stored_runs(url, study.name, content, study.setting)
    return next(run for run in runs if run.run_key == run_key)


@pytest.mark.usefixtures("place")
def test_a_run_goes_on_from_a_checkpoint_there_and_its_weights_are_read_there(
    store: Store, plan: Plan, url: str
) -> None:
    claim = claim_one(store, keys(plan))
    assert claim is not None
    check_files(url)
    for number in (1, 2, 3):
        store.add_epoch(claim, replace(EPOCH, epoch=number))
        store.add_checkpoint(claim, Checkpoint(number, b"state %d" % number))
    assert len(files_of(url, "checkpoints").names(claim.run_key)) == 2
    store.stop(claim)
    assert store.unseen(keys(plan)) == 0
    again = claim_one(store, keys(plan))
    assert again is not None
    assert store.resume(again) == Checkpoint(3, b"state 3")
    store.finish(again, replace(FINISHED, kept=Kept(b"weights", None)), {})
    assert files_of(url, "checkpoints").names("") == []
    assert read_weights(url, stored(plan, url, again.run_key)) == b"weights"
    assert lost_files(url) == {"weights": [], "checkpoints": []}
    beside = {path.name for path in Path(url.removeprefix("sqlite:///")).parent.iterdir()}
    assert not beside & {"weights", "checkpoints"}


@pytest.mark.usefixtures("place")
def test_what_lies_there_and_is_not_what_a_row_names_is_not_taken(
    store: Store, plan: Plan, url: str
) -> None:
    claim = claim_one(store, keys(plan))
    assert claim is not None
    store.add_epoch(claim, EPOCH)
    store.add_checkpoint(claim, Checkpoint(1, b"state"))
    checkpoints = files_of(url, "checkpoints")
    [name] = checkpoints.names("")
    checkpoints.write(name, b"other")
    assert store.resume(claim) is None
    store.finish(claim, replace(FINISHED, kept=Kept(b"weights", None)), {})
    weights = files_of(url, "weights")
    weights.write(f"{claim.run_key}.safetensors", b"other")
    said = message(WeightsError, lambda: read_weights(url, stored(plan, url, claim.run_key)))
    assert "is not what run" in said
    assert weights.place("a.safetensors") in said.replace(claim.run_key, "a", 1)


def test_runs_whose_checkpoints_lie_elsewhere_are_counted(
    store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "memory://here")
    claim = claim_one(store, keys(plan))
    assert claim is not None
    store.add_epoch(claim, EPOCH)
    store.add_checkpoint(claim, Checkpoint(1, b"state"))
    store.stop(claim)
    assert store.unseen(keys(plan)) == 0
    monkeypatch.setenv(VARIABLE, "memory://there")
    assert store.unseen(keys(plan)) == 1
    assert store.unseen(keys(plan)[1:]) == 0, "of other runs nothing is said"


class Broken(fsspec.filesystem("memory").__class__):  # type: ignore[misc]
    """Takes half of an upload, and says why with a password in it."""

    def pipe_file(self, path: str, value: bytes, **rest: Any) -> None:
        super().pipe_file(path, value[: len(value) // 2], **rest)
        raise ConnectionError("https://me:secret@host/bucket?X-Token=abc went away")


def test_an_upload_that_breaks_leaves_what_was_there_and_tells_no_password() -> None:
    whole = RemoteFiles(fsspec.filesystem("memory"), "/results", "memory://results")
    whole.write("a.safetensors", b"before")
    broken = RemoteFiles(Broken(), "/results", "memory://results")
    said = message(DatabaseError, lambda: broken.write("a.safetensors", b"after"))
    assert said.startswith(
        "memory://results/a.safetensors: cannot be written: ConnectionError: https://me:***@"
    )
    assert "secret" not in said
    assert "abc" not in said
    assert whole.read("a.safetensors") == b"before"


def test_a_name_that_leads_elsewhere_is_refused_there_too() -> None:
    files = RemoteFiles(fsspec.filesystem("memory"), "/results", "memory://results")
    with pytest.raises(DatabaseError, match="is no name that ablate gives to a file"):
        files.read("../other")


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (
            "nowhere://x",
            "--files nowhere://x: Protocol not known: nowhere; write a folder, or s3://BUCKET/PATH",
        ),
        (
            "s3://me:secret@bucket/x",
            "--files s3://…: a password has no place in it, where others can read it",
        ),
        (
            "s3://bucket/x?secret=abc",
            "--files s3://…: a password has no place in it, where others can read it",
        ),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line(
    place: str, expected: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, place)
    said = message(OptionError, lambda: check_files(url))
    assert said.startswith(expected)
    assert "secret@" not in said
    assert "abc" not in said


@pytest.mark.parametrize(
    ("package", "place", "expected"),
    [
        (
            "s3fs",
            "s3://bucket/x",
            "its package is not installed: pip install 'attention-ablate[s3]'",
        ),
        ("fsspec", "memory://x", "needs fsspec: pip install 'attention-ablate[files]'"),
    ],
)
def test_a_package_that_is_missing_is_named(
    package: str, place: str, expected: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setenv(VARIABLE, place)
    assert message(OptionError, lambda: check_files(url)) == f"--files {place}: {expected}"


@pytest.mark.slow
def test_a_place_that_cannot_be_written_ends_a_command_before_it_claims(
    shell: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    code, _, errors = shell(
        "run", "--db", "a.db", "--no-measure", "--no-probe", "--set", "recipe.epochs=1", "--files",
        str(tmp_path / "file"), str(Path(__file__).parents[2] / "studies" / "digits.toml"),
    )  # fmt: skip
    assert code == 2
    assert errors.splitlines()[-1].startswith(f"ablate: --files {tmp_path / 'file'}: ")
    assert rows_of(
        f"sqlite:///{shell.folder / 'a.db'}", "SELECT DISTINCT attempts FROM v_runs"
    ) in ([], [(0,)])
