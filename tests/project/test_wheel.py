"""The wheel, installed outside the source tree: it carries all that it needs, from study to report."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import rows_of

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "ablate", "studies")
BUILD_SDIST = "from setuptools.build_meta import build_sdist; build_sdist('dist')"
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")


def called(*command: str | Path, folder: Path) -> str:
    """What a program prints that sees nothing of the source tree; its failure is ours."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, as an installer would, and from a copy of the sources:
    what an earlier build left in the tree would get into it.
    """
    copy = tmp_path_factory.mktemp("copy")
    for name in SOURCES:
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, copy)
        else:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    called(sys.executable, "-c", BUILD_SDIST, folder=copy)
    (sdist,) = copy.glob("dist/*.tar.gz")
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", "dist")
    called(sys.executable, *PIP, "wheel", *options, sdist, folder=copy)
    (built,) = copy.glob("dist/*.whl")
    return built


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel in it, and an empty folder to work in."""

    environment: Path
    folder: Path

    def path(self, kind: str) -> Path:
        """Where the environment keeps its packages or its programs."""
        places = {"base": str(self.environment), "platbase": str(self.environment)}
        return Path(sysconfig.get_path(kind, "venv", places))

    def python(self, code: str) -> str:
        return called(self.path("scripts") / "python", "-c", code, folder=self.folder)

    def ablate(self, *arguments: str) -> str:
        return called(self.path("scripts") / "ablate", *arguments, folder=self.folder)


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Installed:
    made = Installed(tmp_path / "environment", tmp_path / "work")
    made.folder.mkdir()
    venv.create(made.environment, with_pip=False, symlinks=os.name == "posix")
    # The dependencies are those of the running environment. Its own .pth files are not followed, so
    # that an editable installation of this tree stays out.
    theirs = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    (made.path("purelib") / "dependencies.pth").write_text("\n".join(sorted(theirs)))
    into = ("--python", str(made.path("scripts") / "python"))
    called(
        sys.executable, *PIP, *into, "install", "--no-deps", "--no-index", wheel, folder=tmp_path
    )
    return made


@pytest.mark.slow
def test_the_wheel_holds_every_module_template_and_study(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    # Of translations the compiled form is read, the other one is written by hand.
    package = {p for p in (ROOT / "ablate").rglob("*") if p.is_file() and p.suffix != ".po"}
    ours = {str(p.relative_to(ROOT)) for p in package if "__pycache__" not in p.parts}
    ready = {p.relative_to(ROOT) for p in (ROOT / "studies").rglob("*.toml")}
    assert names == ours | {f"ablate/{path}" for path in ready}


@pytest.mark.slow
def test_an_installed_wheel_goes_from_study_to_report(installed: Installed) -> None:
    found = Path(installed.python("import ablate; print(ablate.__file__)").strip())
    assert found == installed.path("purelib") / "ablate" / "__init__.py"

    short = ("--set", "recipe.epochs=1")
    assert installed.ablate("init", "--study", "digits").startswith("wrote digits.toml\nnext: ")
    assert "7 variants" in installed.ablate("plan", "digits.toml")
    once = ("--max-runs", "1", "--no-measure", "--workers", "1", "--device", "cpu")
    installed.ablate("run", "digits.toml", *short, *once)
    installed.ablate("report", "digits.toml", *short)

    study = installed.folder / "digits.toml"
    assert study.read_bytes() == (ROOT / "studies" / "digits.toml").read_bytes()
    reports = installed.folder / "reports" / "digits"
    for name in ("report.html", "report.md", "table.tex", "variants.csv"):
        assert (reports / name).stat().st_size > 0
    url = f"sqlite:///{installed.folder / 'results' / 'ablation.db'}"
    assert rows_of(url, "SELECT COUNT(*) FROM v_runs WHERE status = 'finished'") == [(1,)]
    for (content,) in rows_of(url, "SELECT content FROM environments"):
        known = json.loads(content)
        assert known["commit"] is known["tree_clean"] is known["lock_sha256"] is None
