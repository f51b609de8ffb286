"""Nothing here can be made to run somebody else's code: a walk over the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for room in ("ablate", "benchmarks") for path in (ROOT / room).rglob("*.py"))

FORBIDDEN_MODULES = {
    "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml",
    "pickletools", "copyreg",
}  # fmt: skip
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
FORBIDDEN_METHODS = {"read_pickle", "to_pickle", "yaml.load", "extractall", "fromregex"}

RESTRICTED_UNPICKLER = "ablate/datasets/cifar.py"
"""CIFAR's batches are pickles: their SHA-256 is pinned, and the unpickler knows numpy arrays only."""
WHEELS = "benchmarks/wheelhouse.py"
"""It unpacks wheels of packages that are to be run anyway, into a folder of their own, which a zip's members
cannot leave (`zipfile`)."""
RAY_JOBS = ("ablate/execute/ray_executor.py", "ablate/execute/ray_task.py")
"""A job goes from a driver to a worker of its own, as between processes of one machine: who could put another
one there has the token of the cluster, and with it may run code anyway."""
TAKEN = {
    ("ablate/take/layers.py", "eval"),
    ("ablate/take/write.py", "exec"),
    ("ablate/take/write.py", "compile"),
}
"""What `take` writes is tried before it is given away: PyTorch's layers as they print themselves, the file
of a network whose own code has run by then.
"""
CONTRACT = "ablate/measure/contract_checks.py"
"""That attention can be pickled is tried on a module that was built here: its bytes come from this process
and stay in it."""
ENTRY = "ablate/__main__.py"
ALLOWED = {
    *TAKEN,
    (CONTRACT, "import pickle"),
    (RESTRICTED_UNPICKLER, "import pickle"),
    (WHEELS, "wheel.extractall"),
    *((file, "import pickle") for file in RAY_JOBS),
    (
        ENTRY,
        "exec",
    ),  # of an empty text, which makes Python forget that an earlier one was interrupted
}


def dotted(node: ast.expr) -> str:
    """`os.system` for the expression that says so; `?` stands for whatever is computed."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"


def keyword(call: ast.Call, name: str) -> object:
    """The constant that a call gives for a keyword; None where it gives none."""
    for given in call.keywords:
        if given.arg == name:
            return given.value.value if isinstance(given.value, ast.Constant) else given.value
    return None


def offences(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in FORBIDDEN_MODULES:
                    yield f"import {alias.name}"
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").partition(".")[0] in FORBIDDEN_MODULES:
                yield f"import {node.module}"
            for alias in node.names:
                if f"{node.module}.{alias.name}" in {"torch.load", "numpy.load", "os.system"}:
                    yield f"from {node.module} import {alias.name}"
        elif isinstance(node, ast.Call):
            yield from offences_of_call(node)


def offences_of_call(call: ast.Call) -> Iterator[str]:
    name = dotted(call.func)
    last = name.rpartition(".")[2]
    if name in FORBIDDEN_CALLS or name in FORBIDDEN_METHODS or last in FORBIDDEN_METHODS:
        yield name
    if name == "torch.load" and keyword(call, "weights_only") is not True:
        yield "torch.load without weights_only=True"
    if name in ("np.load", "numpy.load") and keyword(call, "allow_pickle") is not False:
        yield "np.load without allow_pickle=False"
    if keyword(call, "allow_pickle") not in (None, False):
        yield "allow_pickle"
    if keyword(call, "shell") not in (None, False):
        yield "shell=True"


@pytest.mark.slow
def test_the_code_has_none_of_it() -> None:
    assert len(FILES) > 100
    found = {
        (str(path.relative_to(ROOT)), offence)
        for path in FILES
        for offence in offences(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "import marshal, json",
        "import shelve",
        "import yaml",
        "import torch\ntorch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "from torch import load",
        "np.load(path)",
        "numpy.load(path, allow_pickle=True)",
        "np.savez(path, allow_pickle=True)",
        "eval(text)",
        "exec(text)",
        "__import__(name)",
        "pd.read_pickle(path)",
        "tar.extractall(folder)",
        "os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "def f():\n    if x:\n        subprocess.Popen(c, shell=flag)",
    ],
)
def test_the_walk_finds_it(line: str) -> None:
    assert list(offences(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "net.eval()",
        "make(x).eval()",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "json.loads(text)",
        "subprocess.run(['ls'])",
        "re.compile('x')",
        "from safetensors.torch import load",
    ],
)
def test_the_walk_lets_through_what_is_harmless(line: str) -> None:
    assert not list(offences(ast.parse(line)))


def test_the_one_unpickler_is_restricted_and_comes_after_the_hash() -> None:
    tree = ast.parse((ROOT / RESTRICTED_UNPICKLER).read_text(encoding="utf-8"))
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    [unpickler] = [c for c in classes if "pickle.Unpickler" in map(dotted, c.bases)]
    methods = {n.name for n in unpickler.body if isinstance(n, ast.FunctionDef)}
    assert "find_class" in methods
    uses = {
        dotted(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and dotted(node).startswith("pickle.")
    }
    assert uses <= {"pickle.Unpickler", "pickle.UnpicklingError"}, "nothing unrestricted is called"


LOADERS = {"load_file", "safe_open", "load"}


@pytest.mark.slow
def test_safetensors_are_loaded_from_bytes_that_were_checked_never_from_a_path() -> None:
    """`load` takes bytes: of the store, which compares the SHA-256, or of the file that a study names, whose
    SHA-256 stands in its runs' keys.
    """
    importing = {}
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("safetensors")
            for alias in node.names
        }
        if names & LOADERS:
            importing[str(path.relative_to(ROOT))] = names & LOADERS
    assert importing == {
        "ablate/train/weights.py": {"load"},
        "ablate/train/checkpoint.py": {"load"},
        "ablate/network/state_file.py": {"load"},
    }
