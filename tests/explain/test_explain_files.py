"""`ablate explain` from a stored run to a page, kept weights, and each wrong input as one line."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import claim_one, message, rows_of, small_plan
from PIL import Image

from ablate import cli
from ablate.drive.driver import Driver
from ablate.drive.options import TrainingOptions
from ablate.errors import AblateError
from ablate.execute import make_executor
from ablate.explain import explain
from ablate.explain.explanation import Request, explain_networks
from ablate.explain.page import write_page
from ablate.plan import Plan
from ablate.report.render import write_report
from ablate.result import Epoch, Failed, Finished, Kept
from ablate.result.snapshot import unpack
from ablate.store.connection.address import files_folder
from ablate.store.files.weights import weights_file
from ablate.store.reading.frames import read_frames
from ablate.store.writing.store import LostClaimError, Store

QUICK = {"epochs": 1, "batch_size": 256, "augment": []}
CSP = r"default-src &#39;none&#39;; img-src data:; style-src &#39;sha256-\S+&#39;; script-src &#39;sha256-"


class Silent:
    def started(self, cell: object) -> None: ...
    def epoch(self, cell: object, epoch: Epoch) -> None: ...
    def ended(self, cell: object, result: Finished | Failed) -> None: ...
    def note(self, text: str) -> None: ...


@pytest.fixture(scope="module")
def plan() -> Plan:
    return small_plan(backbone="cbam_cnn(width=0.25)", recipe=QUICK)


@pytest.fixture(scope="module")
def trained(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the runs of seed 1 of all variants, and of seed 2 of the first."""
    url = f"sqlite:///{tmp_path_factory.mktemp('trained') / 'results.db'}"
    store = Store(url)
    store.register(plan)
    with make_executor("inprocess", 1) as executor:
        how = TrainingOptions(device="cpu", max_runs=4)
        Driver(plan, store, executor, Silent(), how).run()
    store.close()
    return url


def ask(plan: Plan, url: str, *targets: str, **changes: object) -> Request:
    return Request(targets, plan.study, url, **{"samples": 1, "layers": ("conv1",), **changes})


def key(plan: Plan, variant: str, seed: int = 1) -> str:
    return next(str(c.run_key) for c in plan.cells if c.variant.name == variant and c.seed == seed)


@pytest.mark.slow
def test_weights_and_snapshot_are_kept_of_seed_1_alone(plan: Plan, trained: str) -> None:
    files = sorted(path.name for path in (files_folder(trained) / "weights").iterdir())
    assert files == sorted(f"{c.run_key}.safetensors" for c in plan.cells if c.seed == 1)
    frames = read_frames(trained, "small", plan.study.setting)
    assert {f"{k}.safetensors" for k in frames.explanations} == set(files)
    snapshot = unpack(frames.explanations[key(plan, "se(pool1, r=8)")])
    assert snapshot.true == ("0", "1")
    assert [gate.path for gate in snapshot.gates] == ["pool1.attention"]
    assert [heat.path for heat in snapshot.heat[0]][-1] == "pool3"


@pytest.mark.slow
def test_the_loaded_network_is_the_one_that_was_tested(plan: Plan, trained: str) -> None:
    """Its right and wrong answers on test images are those that the run's result recorded."""
    found = explain_networks(ask(plan, trained, "se(pool1, r=8)", samples=16))
    with sqlite3.connect(trained.removeprefix("sqlite:///")) as connection:
        query = "SELECT test_correct FROM runs WHERE run_key = ?"
        (packed,) = connection.execute(query, (key(plan, "se(pool1, r=8)"),)).fetchone()
    right = np.unpackbits(np.frombuffer(packed, dtype=np.uint8)).astype(bool)
    rows = [int(name.split()[-1]) for name in found.inputs.names]
    predicted = found.seen[0].predicted or ()
    said = [found.classes[p] == t for p, t in zip(predicted, found.inputs.true, strict=True)]
    assert said == right[rows].tolist()
    assert found.networks[0].weights.startswith(f"trained: run {key(plan, 'se(pool1, r=8)')}")


@pytest.mark.slow
def test_a_run_key_or_its_beginning_is_that_run(plan: Plan, trained: str) -> None:
    run_key = key(plan, "se(pool3, r=8)")
    found = explain_networks(ask(plan, trained, run_key[:12], run_key))
    assert [s.name for s in found.networks] == ["se(pool3, r=8)"] * 2
    titles = [f"se(pool3, r=8), {run_key[:8]} ({i})" for i in (1, 2)]
    assert [s.title for s in found.networks] == titles
    assert [gate.network for gate in found.gates] == titles
    drawn = {
        ax.get_title(loc="left").partition("\n")[0] for ax in found.figures["feature-maps"].axes
    }
    assert drawn == set(titles)


def test_an_untrained_variant_says_so(plan: Plan, url: str) -> None:
    found = explain_networks(ask(plan, url, "none", "se(pool1, r=8)"))
    assert all(s.weights.startswith("untrained") for s in found.networks)
    assert not Path(url.removeprefix("sqlite:///")).exists()


@pytest.mark.slow
def test_pictures_and_arrays_for_a_notebook(tmp_path: Path, url: str) -> None:
    file = tmp_path / "study.toml"
    file.write_text(
        'name = "s"\ndataset = "digits"\nbackbone = "se_cnn"\n'
        '[[grid]]\nattention = ["none"]\n[[grid]]\nattention = "cbam"\nposition = "relu*"\n'
    )
    found = explain("none", "cbam(relu*, r=16, k=7)", study=file, db=url, layers=["relu*"])
    per_image = ["feature-maps", "heat-maps", "attention", "weights"]
    assert list(found.figures) == [f"{n}-{i}" for i in (1, 2) for n in per_image] + ["gates"]
    assert found.seen[1].maps["relu3"].shape == (2, 64, 8, 8)
    kinds = [(gate.path, gate.kind) for gate in found.gates]
    assert kinds == [(f"relu{i}.attention", k) for i in (1, 2, 3) for k in ("channel", "spatial")]
    assert found.gates[0].statistics.images == 359
    titles = [text.get_text() for ax in found.figures["heat-maps-1"].axes for text in ax.texts]
    assert "none\ntrue 0" in titles, "nothing is predicted without a classifier"


def test_the_page_and_its_pictures(plan: Plan, trained: str, tmp_path: Path) -> None:
    found = explain_networks(ask(plan, trained, "none", "se(pool1, r=8)"))
    files = write_page(found, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {path.name for path in files} == names
    assert names == {"explain.html"} | {
        f"{picture}.{kind}"
        for picture in ("feature-maps", "heat-maps", "attention", "weights", "gates")
        for kind in ("png", "svg")
    }
    page = files[-1].read_text()
    assert re.search(f'content="{CSP}', page)
    assert "://" not in page
    assert page.count("<svg viewBox=") == 5
    assert "pool1.attention, channel" in page
    for path in files:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert picture.width > 600
    before = {path: path.read_bytes() for path in files}
    earlier = [
        tmp_path / "out" / name for name in ("heat-maps-7.png", "gates-2.svg", "my photo.png")
    ]
    for path in earlier:
        path.write_bytes(b"")
    write_page(explain_networks(ask(plan, trained, "none", "se(pool1, r=8)")), tmp_path / "out")
    assert [path.exists() for path in earlier] == [False, False, True], "its own pictures alone"
    assert before == {path: path.read_bytes() for path in files}, "the same pictures, byte by byte"


@pytest.mark.slow
def test_the_report_shows_what_was_stored(plan: Plan, trained: str, tmp_path: Path) -> None:
    frames = read_frames(trained, "small", plan.study.setting)
    files = {path.name for path in write_report(frames, tmp_path)}
    assert {"attention-image-1.png", "attention-image-2.png", "attention-weights.png"} <= files
    assert "What attention does" in (tmp_path / "report.html").read_text()


def test_an_image_file_is_shown_at_the_studys_size(plan: Plan, url: str, tmp_path: Path) -> None:
    file = tmp_path / "my dog.jpg"
    Image.new("RGB", (90, 50), (200, 30, 30)).save(file)
    found = explain_networks(ask(plan, url, "none", image=file))
    assert found.inputs.pixels.shape == (1, 16, 16, 3)
    assert (found.inputs.names, found.inputs.true) == (("my dog.jpg",), (None,))


def text_file(path: Path) -> None:
    path.write_text("hello")


def huge(path: Path) -> None:
    Image.new("1", (8001, 8000)).save(path, "PNG")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (text_file, "cannot be read (no image)"),
        (huge, "cannot be read (more than 64,000,000 pixels)"),
        (Path.mkdir, "cannot be read: Is a directory"),
        (lambda path: None, "cannot be read: No such file or directory"),
    ],
    ids=["text", "huge", "folder", "missing"],
)
def test_what_is_no_image(
    plan: Plan, url: str, tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    file = tmp_path / "image.png"
    make(file)
    assert said in message(
        AblateError, lambda: explain_networks(ask(plan, url, "none", image=file))
    )


@pytest.mark.parametrize(
    ("target", "changes", "said"),
    [
        ("se(pool1, r=9)", {}, "unknown variant or run 'se(pool1, r=9)' (did you mean 'se(pool1, "),
        ("abc", {}, "unknown variant or run 'abc'"),
        ("", {}, "unknown variant or run ''"),
        ("none", {"layers": ("conv7",)}, "unknown layer 'conv7' (did you mean 'conv"),
        ("none", {"samples": 0}, "--samples 0: must be from 1 to 16"),
    ],
)
def test_what_does_not_exist_is_one_line(
    plan: Plan, trained: str, target: str, changes: dict[str, object], said: str
) -> None:
    question = ask(plan, trained, target, **changes)
    assert message(AblateError, lambda: explain_networks(question)).startswith(said)


def test_a_run_without_weights_says_whose_are_kept(plan: Plan, trained: str) -> None:
    target = key(plan, "none", seed=2)
    text = message(AblateError, lambda: explain_networks(ask(plan, trained, target)))
    assert text.startswith(f"none, seed 2 ({target}, finished): has no stored weights")


def test_weights_that_are_missing_or_changed(plan: Plan, trained: str) -> None:
    path = files_folder(trained) / "weights" / weights_file(key(plan, "none"))
    content = path.read_bytes()
    question = ask(plan, trained, "none")
    try:
        path.write_bytes(content[:-1] + b"\x00")
        assert "its SHA-256 differs" in message(AblateError, lambda: explain_networks(question))
        path.unlink()
        assert "No such file" in message(AblateError, lambda: explain_networks(question))
    finally:
        path.write_bytes(content)


FINISHED = Finished(0.5, 0.5, 1.8, b"\xf0", 4.0, 500.0, "m", "fp32", Kept(b"weights", b"snapshot"))


def test_a_lost_attempt_writes_no_weights(plan: Plan, url: str) -> None:
    store = Store(url)
    store.register(plan)
    claim = claim_one(store, [str(plan.cells[0].run_key)])
    assert claim is not None
    store.take_back(claim.run_key, claim.token)
    with pytest.raises(LostClaimError):
        store.finish(claim, FINISHED, {})
    assert not (files_folder(url) / "weights").exists()


def test_weights_that_cannot_be_written_leave_the_run_to_be_trained(plan: Plan, url: str) -> None:
    store = Store(url)
    store.register(plan)
    claim = claim_one(store, [str(plan.cells[0].run_key)])
    assert claim is not None
    folder = files_folder(url) / "weights"
    folder.write_text("a file where the folder should be")
    assert "cannot be written" in message(AblateError, lambda: store.finish(claim, FINISHED, {}))
    assert store.statuses([claim.run_key]) == {claim.run_key: "running"}
    folder.unlink()
    store.finish(claim, FINISHED, {})
    assert [path.read_bytes() for path in folder.iterdir()] == [b"weights"]


@pytest.mark.slow
def test_weights_are_kept_of_a_run_without_pictures(plan: Plan, url: str) -> None:
    store = Store(url)
    store.register(plan)
    claim = claim_one(store, [str(plan.cells[0].run_key)])
    assert claim is not None
    store.finish(claim, replace(FINISHED, kept=Kept(b"weights", None)), {})
    assert (files_folder(url) / "weights" / weights_file(claim.run_key)).read_bytes() == b"weights"
    assert rows_of(url, "SELECT count(*) FROM explanations") == [(0,)]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["ablate", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.slow
def test_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = str(Path(__file__).parents[2] / "studies" / "se_maps.toml")
    monkeypatch.chdir(tmp_path)
    common = ["--study", study, "--layers", "relu1+relu3", "--samples", "1"]
    assert run(monkeypatch, "explain", "none", "se(relu1, r=16)", *common) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("none: untrained")
    assert out[-1].endswith("reports/se_maps/explain/explain.html")
    assert run(monkeypatch, "explain", "none", *common, "--image", "x.png", "--out", "other") == 2
    assert capsys.readouterr().err == "ablate: --image and --samples: give one of them, not both\n"
    assert run(monkeypatch, "explain", "sse", *common, "--out", "other") == 2
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "cache") == ["reports"]
