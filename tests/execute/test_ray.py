"""What is asked of a Ray, and of its nodes, before anything is trained there."""

from __future__ import annotations

import math
import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from support.executors import started

from ablate.drive.takeover import LEASE_SECONDS
from ablate.errors import DeviceError, OptionError
from ablate.execute import Where, make_executor, ray_cluster, ray_task
from ablate.execute.ray_cluster import ALIVE, AUTH_MODE, check_address, connect, is_loopback
from ablate.execute.ray_executor import RayExecutor, jobs_on_a_gpu
from ablate.execute.ray_task import Terms
from ablate.system.hardware.gpus import VISIBLE
from ablate.system.software.environment import package_version
from ablate.system.software.imports import ALLOWED
from ablate.system.version import VERSION


class Answers(grpc.GenericRpcHandler):
    """A Ray as far as it is asked here: with a token or without."""

    def __init__(self, *, is_open: bool) -> None:
        self._is_open = is_open

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.unary_unary_rpc_method_handler(self._say) if details.method == ALIVE else None

    def _say(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        if not self._is_open:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Authentication token is missing")
        return b""


@contextmanager
def pretended(*, is_open: bool) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1), handlers=[Answers(is_open=is_open)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None)


def test_a_remote_ray_that_takes_work_from_everybody_is_refused() -> None:
    with pretended(is_open=True) as address, pytest.raises(OptionError) as caught:
        check_address(address)
    assert str(caught.value) == (
        f"--ray-address {address}: this Ray takes work from everybody who reaches it; start its nodes with "
        "RAY_AUTH_MODE=token (`ray get-auth-token --generate` makes a token)"
    )


def test_one_that_asks_for_a_token_is_not() -> None:
    with pretended(is_open=False) as address:
        check_address(address)


def test_an_address_where_nobody_answers_is_named() -> None:
    with pretended(is_open=False) as address:
        pass
    with pytest.raises(OptionError, match=rf"--ray-address {address}: no Ray answers there"):
        check_address(address)


def test_one_of_this_machine_is_no_exception() -> None:
    """Other users of the machine reach it too, and would run their code as who started it."""
    with (
        pretended(is_open=True) as address,
        pytest.raises(OptionError, match="takes work from everybody"),
    ):
        check_address(address)


@pytest.mark.parametrize(
    "address", ["auto", "ray://head:10001", "http://head:8265", "head", ":9", "head:x"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(OptionError, match="write HOST:PORT, as `ray start` names it"):
        check_address(address)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("[::1]", True),
        ("192.0.2.7", False),
    ],
)
def test_loopback_is_known(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_ray_of_loopback_is_looked_for_there() -> None:
    """Ray itself would look at the machine's own address, and wait for minutes."""
    with pretended(is_open=False) as address:
        assert ray_cluster._is_of_loopback(address)
    with socket.create_server(("0.0.0.0", 0)) as everywhere:  # noqa: S104 - for this moment
        port = everywhere.getsockname()[1]
        assert not ray_cluster._is_of_loopback(f"127.0.0.1:{port}")


def test_a_worker_ends_when_the_head_is_silent_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, said = (
        0.0,
        iter(["UNAUTHENTICATED", *["UNAVAILABLE"] * 3, "OK", *["DEADLINE_EXCEEDED"] * 99]),
    )
    heard: list[float] = []

    def ask(_head: str, _seconds: float) -> str:
        answer = next(said)
        if answer in ("OK", "UNAUTHENTICATED"):
            heard.append(now)
        return answer

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(ray_task, "asked", ask)
    monkeypatch.setattr(ray_task.time, "sleep", sleep)
    monkeypatch.setattr(ray_task.time, "monotonic", lambda: now)
    monkeypatch.setattr(ray_task.os, "_exit", lambda _code: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        ray_task._watch("head:1")
    assert len(heard) == 2
    assert ray_task.SILENT_SECONDS < now - heard[-1] < LEASE_SECONDS


def test_a_ray_of_our_own_is_not_started_without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    # Not Ray itself: imported here it would listen to others in every later test of this process.
    stopped = SimpleNamespace(is_initialized=lambda: False)
    monkeypatch.setattr(ray_cluster, "_import_ray", lambda *, reachable: stopped)
    monkeypatch.setenv(AUTH_MODE, "disabled")
    with pytest.raises(
        OptionError, match="RAY_AUTH_MODE=disabled: whoever reaches a Ray without a token"
    ):
        connect(None, workers=1, gpus=0)


def test_an_address_without_ray_is_refused() -> None:
    with pytest.raises(OptionError, match="--ray-address belongs to --executor ray, not to local"):
        make_executor("local", 1, Where(ray_address="head:6379"))


@pytest.fixture
def _restored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Terms set up a process for good."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in (ALLOWED, VISIBLE):
        monkeypatch.setenv(name, "")


def terms(**changed: object) -> Terms:
    usual = {
        "command": ("ablate", "run"), "folder": "/nowhere", "path": (), "variables": {},
        "torch": package_version("torch"),
    }  # fmt: skip
    return Terms(**{**usual, **changed})  # type: ignore[arg-type]


@pytest.mark.usefixtures("_restored")
def test_a_node_with_the_same_versions_is_accepted() -> None:
    assert terms(variables={VISIBLE: "-"}).accept() is None
    assert os.environ[VISIBLE] == "-"


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("package", ["ablate", "torch"])
def test_a_node_with_another_version_is_named(package: str) -> None:
    has = {"ablate": VERSION, "torch": package_version("torch")}[package]
    assert terms(**{package: "0.0.1"}).accept() == (
        f"has {package} {has}, and this driver 0.0.1: install the same there"
    )


@pytest.mark.usefixtures("_restored")
def test_a_package_that_a_node_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    found = terms(variables={ALLOWED: "theirs,not_here.nets"}, folder=str(tmp_path)).accept()
    assert str(found).startswith("lacks not_here, which the study imports (--allow-import)")


@pytest.mark.slow
def test_an_unfit_node_ends_the_command_in_one_line() -> None:
    with started("ray", 1) as executor:
        assert isinstance(executor, RayExecutor)
        executor._terms = terms(ablate="0.0.1")
        executor.submit("a", Nothing())
        with pytest.raises(
            DeviceError, match=r"^the Ray node \S+ has ablate .* install the same there$"
        ):
            executor.wait(60)
        assert executor.free == 1


@pytest.mark.slow
def test_our_own_ray_asks_for_a_token_and_listens_here_alone() -> None:
    with started("ray", 1) as executor:
        assert isinstance(executor, RayExecutor)
        address = executor._ray.get_runtime_context().gcs_address
    assert is_loopback(address.rpartition(":")[0])
    assert not ray_cluster._is_open(address)


class Nothing:
    def __call__(self) -> Iterator[int]:
        yield from ()


def test_ray_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptionError, match=r"^--executor ray: ray is not installed: pip install"):
        make_executor("ray", 1)


@pytest.mark.parametrize(
    ("name", "where", "said"),
    [
        ("local", Where(gpus=("0",), gpu_share=0.5), "--gpu-share belongs to --executor ray"),
        ("ray", Where(gpu_share=0.5), "this machine trains without a GPU"),
        ("ray", Where(gpus=("0",), gpu_share=0), "--gpu-share 0: write a number from 0.01 to 1"),
        ("ray", Where(gpus=("0",), gpu_share=1.5), "--gpu-share 1.5: write a number"),
        ("ray", Where(gpus=("0",), gpu_share=math.nan), "--gpu-share nan: write a number"),
    ],
)
def test_a_share_of_a_gpu_that_cannot_be_is_refused(name: str, where: Where, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        make_executor(name, None, where)


@pytest.mark.parametrize(
    ("share", "jobs"), [(1, 1), (0.5, 2), (0.3333, 3), (1 / 3, 3), (0.4, 2), (0.01, 100)]
)
def test_a_gpu_has_room_for_so_many_jobs(share: float, jobs: int) -> None:
    assert jobs_on_a_gpu(share) == jobs
