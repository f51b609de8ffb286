"""Outlines are remembered as long as nothing that counts has changed, and nothing false is believed."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Shell, small_plan

from ablate.datasets.cache_health import clean_cache
from ablate.datasets.sealed import store_sealed
from ablate.errors import StudyError
from ablate.identity import sources
from ablate.outline import asked, build, find, reads
from ablate.plan import Plan
from ablate.system.software import program

WriteModule = Callable[[str, str], None]

PLAIN = """
import torch
from torch import nn
from {helper} import WIDTH


class Net(nn.Module):
    def __init__(self, num_classes, width=WIDTH):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.scale = nn.Parameter(torch.full((width,), 1e-6))
        self.fc = nn.Linear(width, num_classes)

    def forward(self, input):
        maps = self.norm(self.conv(input))
        return self.fc(maps.mean((2, 3)) * self.scale)
"""


@pytest.fixture(autouse=True)
def unedited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever edits this program and tests it at once has tests that remember all the same."""
    monkeypatch.setattr(find, "runs_as_written", lambda: True)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[asked.Asked]:
    """What was built, and not remembered."""
    built: list[asked.Asked] = []
    real = build.build_outlines

    def counted(given: asked.Asked) -> asked.Outlines:
        built.append(given)
        return real(given)

    monkeypatch.setattr(build, "build_outlines", counted)
    return built


def own_plan(module: str, **changes: Any) -> Plan:
    grid = [{"attention": "none"}, {"attention": "eca", "position": "conv"}]
    return small_plan(backbone=f"{module}:Net", grid=grid, image_size=16, **changes)


def entry() -> Path:
    (found,) = Path(os.environ["ABLATE_CACHE"]).glob("outlines-*.json")
    return found


def test_what_has_not_changed_is_not_built_again(builds: list[asked.Asked]) -> None:
    first = small_plan()
    again = small_plan(seeds=4, recipe={"epochs": 3}, question="Another?")
    assert len(builds) == 1
    assert again.variants == first.variants
    assert again.own_attention == first.own_attention
    assert {c.variant for c in again.cells} == {c.variant for c in first.cells}


@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": 32},
        {"backbone": "cbam_cnn(width=0.5)"},
        {"identity": "of March"},
        {"grid": [{"attention": "none"}, {"attention": "se", "position": "pool1", "reduction": 4}]},
    ],
)
def test_what_asks_for_other_networks_is_built(
    builds: list[asked.Asked], changes: dict[str, Any]
) -> None:
    small_plan()
    small_plan(**changes)
    assert len(builds) == 2


def test_another_program_builds_anew(
    builds: list[asked.Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_plan()
    for name, other in (("VERSION", "0.0.9"), ("package_version", lambda name: f"{name} 9")):
        program.program_id.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(program, name, other)
            small_plan()
    program.program_id.cache_clear()
    assert len(builds) == 3


def test_every_byte_of_the_programs_source_counts(tmp_path: Path) -> None:
    """Also one that leaves size and time as they were."""
    file = tmp_path / "room" / "file.py"
    file.parent.mkdir()
    seen = set()
    for text in ("a = 1\n", "a = 2\n"):
        file.write_text(text)
        os.utime(file, ns=(0, 0))
        seen.add(program._source(tmp_path))
    file.rename(file.with_name("other.py"))
    seen.add(program._source(tmp_path))
    assert len(seen) == 3


def test_a_process_older_than_its_source_stores_nothing(
    builds: list[asked.Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it imported is not what lies there."""
    monkeypatch.setattr(find, "runs_as_written", lambda: False)
    small_plan()
    small_plan()
    assert len(builds) == 2


def test_a_process_that_began_before_an_edit_is_known(tmp_path: Path) -> None:
    assert program.all_before([tmp_path], time.time() + 9)
    os.utime(tmp_path, (time.time() + 60,) * 2)
    assert not program.all_before([tmp_path], time.time() + 9)


def test_an_attention_of_somebody_elses_is_built_each_time(
    builds: list[asked.Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine(build.ATTENTION["se"]):  # type: ignore[misc]
        pass

    small_plan()
    monkeypatch.setitem(build.ATTENTION, "se", Mine)
    small_plan()
    small_plan()
    assert len(builds) == 3


def test_a_users_plain_network_is_remembered_until_its_files_change(
    builds: list[asked.Asked], own_module: WriteModule
) -> None:
    own_module("helper_one", "WIDTH = 8\n")
    own_module("net_one", PLAIN.format(helper="helper_one"))
    first = own_plan("net_one")
    again = own_plan("net_one")
    assert len(builds) == 1
    assert (again.named, again.cells) == (first.named, first.cells)
    before = os.stat("helper_one.py")
    Path("helper_one.py").write_text("WIDTH = 8 \n")
    os.utime("helper_one.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    other = own_plan("net_one")
    assert len(builds) == 2
    assert {c.run_key for c in other.cells}.isdisjoint({c.run_key for c in first.cells})


@pytest.mark.parametrize(
    "constructor",
    [
        "self.fc.bias = nn.Parameter(torch.load('weights.pt'))",
        "with open('width.txt') as file: self.width = int(file.read())",
        "self.width = getattr(torch, 'load')('weights.pt')[0].item()",
        "self.table = nn.Buffer(torch.arange(4).cos())",
        "self.table = torch.arange(4)",
        "self.fast = torch.cuda.is_available()",
        "import os; self.fast = os.environ.get('FAST')",
        "from pathlib import Path; self.fast = Path('fast').exists()",
        "import json; self.fast = json.loads('1')",
        "eval('1')",
        "self.spec = __file__",
    ],
)
def test_a_network_that_may_look_elsewhere_is_built_each_time(
    builds: list[asked.Asked], own_module: WriteModule, constructor: str
) -> None:
    own_module("helper_two", "WIDTH = 4\n")
    source = PLAIN.format(helper="helper_two")
    end = "num_classes)\n\n"
    own_module("net_two", source.replace(end, f"{end.strip()}\n        {constructor}\n\n"))
    torch.save(torch.ones(10), "weights.pt")
    Path("width.txt").write_text("3")
    own_plan("net_two")
    own_plan("net_two")
    assert len(builds) == 2


def test_another_checkpoint_is_another_network(own_module: WriteModule) -> None:
    own_module("helper_three", "WIDTH = 4\n")
    loads = "self.fc.bias = nn.Parameter(torch.load('weights.pt'))"
    source = PLAIN.format(helper="helper_three")
    own_module(
        "net_three", source.replace("num_classes)\n\n", f"num_classes)\n        {loads}\n\n")
    )
    keys = []
    for value in (0.0, 1.0):
        torch.save(torch.full((10,), value), "weights.pt")
        keys.append({cell.run_key for cell in own_plan("net_three").cells})
    assert keys[0].isdisjoint(keys[1])


@pytest.fixture
def library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], None]]:
    """Installs a library of one file."""
    folder = tmp_path / "site-packages"
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])

    def install(version: str, source: str) -> None:
        for old in folder.glob("readinglib-*/*"):
            old.unlink()
            old.parent.rmdir()
        about = folder / f"readinglib-{version}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Name: readinglib\nVersion: {version}\n")
        (folder / "readinglib.py").write_text(source)
        sys.modules.pop("readinglib", None)
        importlib.invalidate_caches()
        sources._library.cache_clear()  # as in a process of its own

    yield install
    sys.modules.pop("readinglib", None)


def test_a_library_counts_by_its_version_unless_it_reads_a_file(
    builds: list[asked.Asked], own_module: WriteModule, library: Callable[[str, str], None]
) -> None:
    source = PLAIN.format(helper="readinglib").replace("import WIDTH", "import width")
    source = source.replace("width=WIDTH", "width=0").replace(
        "__init__()", "__init__(); width = width or find()"
    )
    library("1.0", "def width(): return 4\n")
    own_module("net_four", source.replace("import width", "import width as find"))
    own_plan("net_four")
    own_plan("net_four")
    assert len(builds) == 1
    library(
        "1.1",
        "def width():\n    with open('width.txt') as file:\n        return int(file.read())\n",
    )
    sys.modules.pop("net_four")
    Path("width.txt").write_text("4")
    own_plan("net_four")
    own_plan("net_four")
    assert len(builds) == 3


Attack = Callable[[Path], None]


def _same_size_and_time(file: str, old: str, new: str) -> Attack:
    """Edited in place, as `rsync --times` or a restored backup leaves it."""

    def edit(folder: Path) -> None:
        path, before = folder / file, (folder / file).stat()
        text = path.read_text()
        assert old in text
        assert len(old) == len(new)
        path.write_text(text.replace(old, new))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return edit


def _replaced(file: str, old: str, new: str) -> Attack:
    """By another file of the same size and time."""

    def replace(folder: Path) -> None:
        path, other = folder / file, folder / "other"
        before = path.stat()
        other.write_text(path.read_text().replace(old, new))
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(path)

    return replace


def _shadowed(folder: Path) -> None:
    """A module that is found first: a package goes before a file."""
    (folder / "helper_nine").mkdir()
    (folder / "helper_nine" / "__init__.py").write_text("WIDTH = 5\n")


def _path_before(folder: Path) -> None:
    (folder / "earlier").mkdir()
    (folder / "earlier" / "helper_nine.py").write_text("WIDTH = 5\n")
    sys.path.insert(0, str(folder / "earlier"))


def _environment(folder: Path) -> None:
    os.environ["SCALE_OF_MINE"] = "2"


ATTACKS: dict[str, Attack] = {
    "edited": _same_size_and_time("net_nine.py", "1e-6", "1e-5"),
    "a helper": _same_size_and_time("helper_nine.py", "4", "5"),
    "a helper's helper": _same_size_and_time("deep_nine.py", "1.0", "2.0"),
    "replaced": _replaced("helper_nine.py", "4", "5"),
    "a patch of torch": _same_size_and_time("deep_nine.py", "relu6", "selu "),
    "shadowed": _shadowed,
    "a path before": _path_before,
    "the environment": _environment,
    "gone": lambda folder: (folder / "deep_nine.py").unlink(),
}


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_whatever_changes_under_a_warm_plan_is_noticed(
    attack: str,
    builds: list[asked.Asked],
    own_module: WriteModule,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCALE_OF_MINE", "1")
    monkeypatch.setattr("torch.nn.functional.relu", torch.nn.functional.relu)
    own_module("deep_nine", "from torch.nn import functional as F\nBY = 1.0\nF.relu = F.relu6\n")
    own_module("helper_nine", "from deep_nine import BY\nWIDTH = int(4 * BY)\n")
    own_module("net_nine", PLAIN.format(helper="helper_nine"))
    first = own_plan("net_nine")
    assert own_plan("net_nine").cells == first.cells
    assert len(builds) == 1
    ATTACKS[attack](tmp_path)
    for name in ("net_nine", "helper_nine", "deep_nine"):  # as another process begins
        sys.modules.pop(name)
    importlib.invalidate_caches()
    if attack == "gone":
        with pytest.raises(StudyError, match="No module named 'deep_nine'"):
            own_plan("net_nine")
        return
    other = own_plan("net_nine")
    assert len(builds) == 2
    same = {c.run_key for c in other.cells} == {c.run_key for c in first.cells}
    assert same == (attack == "the environment"), "that it might count is enough to build"


LOOKING = """
import importlib.metadata, tempfile
tempfile.tempdir = None
tempfile.gettempdir()
importlib.metadata.packages_distributions()
with open({file!r}) as file:
    WIDTH = int(file.read())
"""


@pytest.mark.slow
def test_what_libraries_look_at_while_they_are_imported_is_looked_at_again(
    builds: list[asked.Asked],
    own_module: WriteModule,
    library: Callable[[str, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Folders of the path as archives, a temporary file, settings of the kernel; not any other file."""
    kernel, other = tmp_path / "kernel", tmp_path / "other"
    for folder in (kernel, other):
        folder.mkdir()
        (folder / "width").write_text("4")
    monkeypatch.setattr(reads, "_OF_THE_KERNEL", f"{kernel}/")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "no.zip"), str(tmp_path)])
    library("1.0", LOOKING.format(file=str(kernel / "width")))
    own_module("net_ten", PLAIN.format(helper="readinglib"))
    first = own_plan("net_ten")
    own_plan("net_ten")
    assert len(builds) == 1
    _same_size_and_time("kernel/width", "4", "5")(tmp_path)
    for name in ("net_ten", "readinglib"):
        sys.modules.pop(name)
    assert own_plan("net_ten").cells != first.cells
    assert len(builds) == 2
    library("1.1", LOOKING.format(file=str(other / "width")))
    for _ in range(2):
        for name in ("net_ten", "readinglib"):
            sys.modules.pop(name, None)
        own_plan("net_ten")
    assert len(builds) == 4


def _resealed(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        content = json.loads(json.loads(file.read_text())["content"])
        change(content)
        store_sealed(file.stem, content)

    return write


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-40]),
        lambda file: file.write_text(file.read_text().replace("cbam_cnn", "cbam_cnm", 1)),
        lambda file: file.write_text("[]"),
        lambda file: file.write_text("[" * 100_000),
        lambda file: file.write_text('{"content": 3, "sha256": ""}'),
        lambda file: (file.rename(file.with_name("x")), file.symlink_to(file.with_name("x"))),
        lambda file: (file.unlink(), file.mkdir()),
        lambda file: (file.unlink(), os.mkfifo(file)),
        _resealed(lambda content: content["architectures"].pop()),
        _resealed(lambda content: content["architectures"][0].update(parameters=1)),
        _resealed(lambda content: content["architectures"][0].update(fingerprint="../../etc")),
        _resealed(lambda content: content["architectures"][0].update(macs="many")),
        _resealed(lambda content: content["architectures"][0].update(macs=-1)),
        _resealed(lambda content: content.update(own_attention=[])),
        _resealed(lambda content: content.update(files={"../../etc/passwd": ""})),
        _resealed(lambda content: content.update(libraries={"torch": "0.1"})),
    ],
)
def test_what_is_damaged_or_false_is_built_anew(
    builds: list[asked.Asked], spoil: Callable[[Path], object]
) -> None:
    first = small_plan()
    spoil(entry())
    assert small_plan().variants == first.variants
    assert len(builds) == 2


def test_another_users_entry_is_not_believed(
    builds: list[asked.Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_plan()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    small_plan()
    assert len(builds) == 2


def test_a_cache_that_cannot_be_written_is_done_without(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "file" / "cache"))
    _write_study()
    code, out, err = shell("plan", "study.toml")
    assert (code, err) == (0, "")
    assert "2 variants, 2 cells" in out


def test_doctor_sweeps_what_another_program_remembered(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_plan()
    kept = entry()
    for name in (f"outlines-{'0' * 16}-{'1' * 16}", f"outlines-{'0' * 16}-machine-{'1' * 16}"):
        store_sealed(name, {})
    damaged = own_cache / f"{asked.family()}-{'2' * 16}.json"
    damaged.write_text("{}")
    assert len(clean_cache().stale) == 3
    assert list(own_cache.glob("outlines-*")) == [kept]


def _write_study() -> None:
    Path("study.toml").write_text(
        'name = "small"\ndataset = "digits"\nbackbone = "cbam_cnn(width=0.25)"\nimage_size = 16\nseeds = 1\n'
        '[[grid]]\nattention = "none"\n[[grid]]\nattention = "eca"\nposition = "pool*"\n'
    )


ALONE = """
import sys
from ablate import cli
sys.argv = ["ablate", *sys.argv[1:]]
try:
    cli.main()
finally:
    print(sorted({"torch", "torchvision", "scipy.optimize"} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.parametrize("format", ["table", "json"])
def test_a_plan_that_was_made_before_loads_no_torch_and_says_the_same(
    shell: Shell, format: str
) -> None:
    _write_study()
    options = ("plan", "study.toml", "--format", format)
    _, first, _ = shell(*options)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *options], capture_output=True, text=True, check=True
    )
    # How much of the disk is free is another number each time.
    free = re.compile(r'"free_bytes": \d+')
    assert free.sub("", done.stdout) == free.sub("", first)
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("library", ["torch", pytest.param("torchvision", marks=pytest.mark.slow)])
def test_a_second_plan_of_an_own_network_loads_no_torch(
    library: str, shell: Shell, own_module: WriteModule
) -> None:
    """An installed command has no working directory in its path, and imports add to the environment."""
    _write_study()
    study = Path("study.toml")
    study.write_text(study.read_text().replace("cbam_cnn(width=0.25)", "net_eleven:Net"))
    study.write_text(study.read_text().replace("pool*", "conv"))
    own_module("helper_eleven", f"import {library}\nWIDTH = 8\n")
    own_module("net_eleven", PLAIN.format(helper="helper_eleven"))
    command = [sys.executable, "-P", "-c", ALONE, "plan", "study.toml"]
    for last in ("torch", "[]"):
        done = subprocess.run(
            [*command, "--allow-import", "net_eleven", "--allow-import", "helper_eleven"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert last in done.stderr.splitlines()[-1]
