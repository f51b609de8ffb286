"""Every command says something before anything heavy is loaded, and goes on saying how far it is."""

from __future__ import annotations

import itertools
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Shell

from ablate.attention import ATTENTION
from ablate.backbones import BACKBONES
from ablate.cli import COMMANDS
from ablate.datasets import DATASETS
from ablate.datasets.augment import AUGMENTS
from ablate.errors import AblateError
from ablate.plan import make_plan
from ablate.study import names
from ablate.study.file import load_study
from ablate.study.options import keyword_options
from ablate.system.messages import pulse, times
from ablate.system.messages.pulse import ERASE, MARK, Pulse
from ablate.train.optimizers import OPTIMIZERS
from ablate.train.schedules import SCHEDULES

STUDY = str(Path(__file__).parents[2] / "studies" / "digits.toml")
ARGUMENTS: dict[str, list[str]] = {
    "plan": [STUDY],
    "check-attention": ["se"],
    "init": ["cbam_cnn", "--data", "nowhere"],
    "run": [STUDY],
    "search": [STUDY],
    "dashboard": [],
    "measure": [STUDY],
    "report": [STUDY],
    "explain": ["none", "--study", STUDY],
    "tensorboard": [STUDY],
    "take": ["none", "--study", STUDY, "--out", "net.safetensors"],
    "fold": ["se", "--study", STUDY, "--out", "net.safetensors"],
    "profile": ["none", "cbam", "--study", STUDY],
    "status": [STUDY],
    "merge": ["sqlite:///a.db", "sqlite:///b.db"],
    "export": [],
    "import": ["nowhere"],
    "import-results": ["nowhere.csv", "--study", "mine"],
    "compare": ["none", "cbam", "--study", STUDY],
    "doctor": [],
}
HEAVY = ("torch", "numpy", "pandas", "matplotlib", "sqlalchemy", "optuna")

WATCHED = f"""
import sys
from ablate import cli
from ablate.system.messages.pulse import Pulse

def said(self, text, first=Pulse._say):
    first(self, text)
    heavy = [name for name in {HEAVY} if name in sys.modules]
    print("\\nloaded:", heavy, file=sys.stderr, flush=True)
    raise SystemExit(0)

Pulse._say = said
cli.main()
"""

SLOW = """
import sys, time
from ablate.system.messages.console import Counting, say
from ablate.system.messages.pulse import PULSE
PULSE.begin("report", "digits")
PULSE.step("reading")
time.sleep(4.5)
for done in range(9):
    PULSE.count("drawing", done, 9)
    time.sleep(0.5)
say("reports/digits.html")
PULSE.end()
"""


def on_a_terminal(
    arguments: list[str], folder: Path, columns: int = 100
) -> tuple[str, list[float]]:
    """What a program writes to a terminal, and when, in seconds from its start."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "ABLATE_CACHE": str(folder / "cache")}
    begun = time.monotonic()
    with subprocess.Popen(
        [sys.executable, *arguments], stdout=theirs, stderr=theirs, stdin=theirs, cwd=folder,
        env=environment,
    ) as program:  # fmt: skip
        os.close(theirs)
        said, when = b"", []
        while True:
            select.select([ours], [], [], 60)
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed: it is over
                break
            if not part:
                break
            said += part
            when.append(time.monotonic() - begun)
        when.append(time.monotonic() - begun)
        assert program.wait() == 0
    os.close(ours)
    return said.decode(), when


def test_every_command_is_tried() -> None:
    assert list(ARGUMENTS) == list(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_the_first_word_comes_before_anything_heavy(command: str, tmp_path: Path) -> None:
    said, _ = on_a_terminal(["-c", WATCHED, command, *ARGUMENTS[command]], tmp_path)
    assert said.startswith(f"{ERASE}{MARK}{command}")
    assert "loaded: []" in said


@pytest.mark.slow
def test_nothing_is_silent_for_two_seconds(tmp_path: Path) -> None:
    said, when = on_a_terminal(["-c", SLOW], tmp_path)
    assert max(b - a for a, b in itertools.pairwise(when)) < 2
    assert "reading: 2 s so far" in said, "what it never did before has no time that is left"
    assert re.search(r"drawing: \d of 9, \d s left", said)
    assert said.endswith(f"{ERASE}reports/digits.html\r\n"), "the line that moves is gone"
    said, _ = on_a_terminal(["-c", SLOW], tmp_path)
    assert re.search(r"reading: [234] s left", said), "it took 4.5 s the last time"


@pytest.mark.slow
def test_a_line_that_moves_is_never_wider_than_the_terminal(tmp_path: Path) -> None:
    said, _ = on_a_terminal(["-c", SLOW], tmp_path, columns=24)
    assert max(len(line) for line in re.split(r"\r\x1b\[2K|\r\n", said)) < 24


@pytest.mark.slow
def test_a_file_gets_one_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pulse, "SECONDS_IN_A_FILE", 0.6)
    monkeypatch.setattr(pulse, "TICK_SECONDS", 0.01)
    one = Pulse()
    one.begin("run", "digits", "7 variants")
    for done in range(100):
        one.count("training", done, 100)
        time.sleep(0.02)
    one.end()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{MARK}run digits: 7 variants"
    assert 3 <= len(lines) <= 4, "not a hundred"
    assert all(re.search(r"training: \d+ of 100, \d s left$", line) for line in lines[1:])


def test_json_on_stdout_is_json_alone(shell: Shell) -> None:
    code, out, _ = shell("plan", STUDY, "--format", "json", "--no-probe")
    assert code == 0
    assert json.loads(out)["study"] == "digits"


def test_what_is_wrong_with_a_command_is_one_line(shell: Shell) -> None:
    assert shell("plan", "nowhere.toml")[2].count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a": "b"}', b"\xff"])
def test_times_that_cannot_be_read_are_none(content: bytes, own_cache: Path) -> None:
    own_cache.mkdir()
    (own_cache / times.FILE).write_bytes(content)
    assert times.remembered_seconds() == {}
    times.remember_seconds({"plan: loading": 3.0})
    assert times.remembered_seconds() == {"plan: loading": 3.0}


def test_only_so_many_times_are_kept(own_cache: Path) -> None:
    times.remember_seconds({str(n): float(n) for n in range(times.MOST)})
    times.remember_seconds({"new": 1.0, "1": 2.0})
    kept = times.remembered_seconds()
    assert len(kept) == times.MOST
    assert (kept["new"], kept["1"]) == (1.0, 2.0)
    assert "0" not in kept


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    pulse.PULSE.begin("run", "digits")
    child = os.fork()
    if not child:
        os._exit(int(pulse.PULSE.count("training", 1, 2)))  # 0: nobody is told
    assert os.waitpid(child, 0)[1] == 0
    assert pulse.PULSE.count("training", 1, 2)
    pulse.PULSE.end()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("recipe.augment", '["crob"]', "unknown augmentation 'crob' (did you mean 'crop'?)"),
        ("recipe.optimizer", "adm", "unknown optimizer 'adm' (did you mean 'adam'?)"),
        ("recipe.schedule", "cosin", "unknown schedule 'cosin' (did you mean 'cosine'?)"),
        (
            "grid",
            '[{attention="none"},{attention="sse",position="pool1"}]',
            "unknown attention 'sse'",
        ),
        (
            "grid",
            '[{attention="none"},{attention="se",position="pool1",reductoin=4}]',
            "se takes no 'reductoin' (did you mean 'reduction'?)",
        ),
        ("baseline", "nonne", "the baseline 'nonne' is no variant of the grid"),
        ("dataset", "digit", "unknown dataset 'digit' (did you mean 'digits'?)"),
        ("backbone", "cbam_cn", "unknown backbone 'cbam_cn' (did you mean 'cbam_cnn'?)"),
        ("backbone", "mypkg.nets:Net", "may not import mypkg; add --allow-import mypkg"),
    ],
)
def test_a_name_that_nothing_has_is_told_before_torch_is_loaded(
    key: str, value: str, said: str, tmp_path: Path
) -> None:
    study = tmp_path / "study.toml"
    given = {"dataset": "digits", "backbone": "cbam_cnn", "grid": '[{attention="none"}]'}
    text = {"name": '"s"', **{k: v if k == "grid" else f'"{v}"' for k, v in given.items()}}
    if "." not in key:
        text[key] = value if key == "grid" else f'"{value}"'
    lines = [f"{k} = {v}" for k, v in text.items()]
    if "." in key:
        table, _, name = key.partition(".")
        lines += [f"[{table}]", f"{name} = {value if value[0] == '[' else repr(value)}"]
    study.write_text("\n".join(lines))
    code = (
        "import sys, atexit; from ablate import cli;"
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.__stdout__)); cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "plan", str(study)],
        capture_output=True,
        text=True,
        check=False,
    )
    early = done.stderr
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert said in early
    with pytest.raises(AblateError) as late:
        make_plan(load_study(study))
    assert early == f"ablate: {late.value}\n", "as planning says it"


def test_the_names_that_are_known_early_are_those_of_the_tables() -> None:
    assert {k: keyword_options(v) for k, v in ATTENTION.items()} == names.ATTENTION_OPTIONS
    assert tuple(AUGMENTS) == names.AUGMENTS
    assert tuple(BACKBONES) == names.BACKBONES
    assert tuple(DATASETS) == names.DATASETS
    assert tuple(OPTIMIZERS) == names.OPTIMIZERS
    assert tuple(SCHEDULES) == names.SCHEDULES
