"""The Ray that jobs go to: one of our own on this machine's loopback, or one whose address was asked for."""

from __future__ import annotations

import importlib
import ipaddress
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ablate.errors import OptionError
from ablate.system.messages.text import one_line

INSTALL = "pip install 'attention-ablate[ray]'"
AUTH_MODE = "RAY_AUTH_MODE"
REACHABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's name for whether a node listens to others than its own machine."""
TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
LOOPBACK = "127.0.0.1"
STARTS = 3
ASKED_SECONDS = 10
ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"


@dataclass(frozen=True)
class Cluster:
    """Ray, connected; `own` is to be shut down with the executor."""

    ray: Any
    own: bool

    def devices(self, kind: str | None) -> int:
        """How many CPUs there are now, or how many GPUs of a kind as Ray calls it."""
        alive = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        if kind is None:
            return int(sum(node.get("CPU", 0) for node in alive))
        return int(sum(node.get("GPU", 0) for node in alive if kind in node))

    def gpu_kind(self) -> str | None:
        """The resource by which Ray knows this node's kind of GPU."""
        here = self.ray.get_runtime_context().get_node_id()
        own = [node["Resources"] for node in self.ray.nodes() if node["NodeID"] == here]
        kinds = [name for node in own for name in node if name.startswith("accelerator_type:")]
        return kinds[0] if kinds else None

    def close(self) -> None:
        if self.own:
            self.ray.shutdown()


def connect(address: str | None, workers: int, gpus: int) -> Cluster:
    """The cluster at `address`, or one that is started here with room for so many workers.

    Raises:
        OptionError: Ray is not installed, the address is none, nobody answers there, or it takes work from
            everybody.
    """
    if address is not None:
        check_address(address)
    ray = _import_ray(reachable=address is not None and not _is_of_loopback(address))
    if address is None and ray.is_initialized():
        _refuse_open(ray.get_runtime_context().gcs_address, "the Ray of this process")
        return Cluster(ray, own=False)  # of a notebook, say: whoever started it ends it
    if address is not None:
        _ask_with_token(ray)
        _join(ray, address, address=address)
        return Cluster(ray, own=True)
    _check_token()
    with _token_of_our_own(ray):
        _join(
            ray, "this machine", tries=STARTS, address="local", num_cpus=workers, num_gpus=gpus,
            include_dashboard=False, _node_ip_address=LOOPBACK,
        )  # fmt: skip
    cluster = Cluster(ray, own=True)
    if not is_loopback(ray.get_runtime_context().gcs_address.rpartition(":")[0]):
        cluster.close()
        raise OptionError(
            f"Ray would listen to other machines, though ablate forbade it: set {REACHABLE}=0 before it is "
            "imported, or start Ray yourself and give --ray-address"
        )
    return cluster


def _join(ray: Any, name: str, tries: int = 1, **where: Any) -> None:
    """Start a Ray, or connect to one. A start that fails is tried again: nothing is left of it, and on a
    machine that does much else Ray gives its own processes too little time.

    Raises:
        OptionError: it cannot be used.
    """
    for left in reversed(range(tries)):
        try:
            with _own_signals():
                ray.init(logging_level=logging.ERROR, **where)
            return
        except Exception as error:  # Ray's kinds of errors here are many
            ray.shutdown()
            if not left:
                raise OptionError(f"Ray at {name} cannot be used: {one_line(error)}") from error
            time.sleep(1)


@contextmanager
def _token_of_our_own(ray: Any) -> Iterator[None]:
    """A token that only this Ray has, for its processes to inherit. Ray would make one for all Rays of a user
    in the home folder: two that do so in one moment take the other's, and it must be writable.
    """
    if any(name in os.environ for name in TOKENS):
        yield
        return
    os.environ[TOKENS[0]] = secrets.token_hex(32)
    _forget_token(ray)
    try:
        yield
    finally:
        # Its processes have it; the next command in this process may be for another Ray.
        del os.environ[TOKENS[0]]


def _ask_with_token(ray: Any) -> None:
    """Ray reads this when it is imported, which may have been before."""
    os.environ[AUTH_MODE] = "token"
    _forget_token(ray)
    config = getattr(ray._raylet, "Config", None)
    if config is not None:
        config.initialize("")


def _forget_token(ray: Any) -> None:
    """Ray remembers the first token that this process has used."""
    loader = getattr(ray._raylet, "AuthenticationTokenLoader", None)
    if loader is not None:
        loader.instance().reset_cache()


def check_address(address: str) -> None:
    """Refuse an address that is none, and one where anybody may run code: also on this machine, where other
    users would run theirs as the one who started it, and answer in the place of its workers.

    Raises:
        OptionError: with what to do.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in address:
        raise OptionError(
            f"--ray-address {address}: write HOST:PORT, as `ray start` names it, and start ablate on "
            "a node of that cluster (ray:// and http:// addresses take no such work)"
        )
    _refuse_open(address, f"--ray-address {address}: this Ray")


def _refuse_open(address: str, name: str) -> None:
    if _is_open(address):
        raise OptionError(
            f"{name} takes work from everybody who reaches it; start its "
            f"nodes with {AUTH_MODE}=token (`ray get-auth-token --generate` makes a token)"
        )


def _check_token() -> None:
    """A Ray of our own has a token, made by Ray where there is none, which other users of this machine lack.

    Raises:
        OptionError: the environment says that it shall have none.
    """
    mode = os.environ.get(AUTH_MODE, "token")
    if mode.lower() != "token":
        raise OptionError(
            f"{AUTH_MODE}={mode}: whoever reaches a Ray without a token may run code as you; unset it, or "
            "set it to token"
        )


def is_loopback(host: str) -> bool:
    """Whether a host, by name or number, is this machine by itself."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host.strip("[]"), None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(str(each).partition("%")[0]).is_loopback for each in found)


def _is_of_loopback(address: str) -> bool:
    """Whether a Ray listens to this machine alone. Ray looks for `127.0.0.1` at the machine's own address,
    unless it is told when it is imported that there is none.
    """
    host, _, port = address.rpartition(":")
    return is_loopback(host) and not _listens(_own_address(), int(port))


def _own_address() -> str:
    """The address by which others would know this machine; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        try:
            found.connect(("192.0.2.1", 1))  # of nobody: RFC 5737
        except OSError:
            return LOOPBACK
        return str(found.getsockname()[0])


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _is_open(address: str) -> bool:
    """Whether a cluster answers somebody who has no token.

    Raises:
        OptionError: nobody answers there.
    """
    said = asked(address, ASKED_SECONDS)
    if said not in ("OK", "UNAUTHENTICATED"):
        raise OptionError(f"--ray-address {address}: no Ray answers there ({said})")
    return said == "OK"


def asked(address: str, seconds: float) -> str:
    """What the head of a cluster says to somebody without a token, as gRPC calls it."""
    import grpc

    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(ALIVE)(b"", timeout=seconds)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def _import_ray(*, reachable: bool) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault(
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
    )  # a warning: tasks say it themselves
    os.environ[REACHABLE] = "1" if reachable else "0"
    try:
        ray = importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise OptionError(f"--executor ray: {error.name} is not installed: {INSTALL}") from error
    # Whoever imported it before had the variable as it was then.
    constants = sys.modules.get("ray._private.ray_constants")
    if constants is not None:
        constants.ENABLE_RAY_CLUSTER = reachable  # type: ignore[attr-defined]
    return ray


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself; ours gives runs back first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
