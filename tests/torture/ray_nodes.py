"""A Ray of two nodes on this machine's loopback, in a process of its own, and drivers that use it.

The head has no room for tasks; a node is killed as a machine is that loses its power: its raylet and the
workers that belong to it, at one moment.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

from tests.torture.figures import CannotBeDone
from tests.torture.processes import ROOT

HOST = """
import os, sys
from ray.cluster_utils import Cluster
loopback = {"node_ip_address": "127.0.0.1", "include_dashboard": False, "dashboard_agent_listen_port": 0}
def say(*words):
    print("answer:", *words, flush=True)
def pid(node):
    [raylet] = node.all_processes["raylet"]
    return raylet.process.pid
head = dict(num_cpus=0, gcs_server_port=int(sys.argv[1]), **loopback)
cluster = Cluster(initialize_head=True, head_node_args=head)
nodes = [cluster.add_node(num_cpus=1, **loopback) for _ in range(int(sys.argv[2]))]
say(cluster.address, pid(cluster.head_node), *map(pid, nodes))
for line in sys.stdin:
    if line.strip() == "add":
        say(pid(cluster.add_node(num_cpus=1, **loopback)))
    else:
        break
cluster.shutdown()
"""
QUIET = {
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Of the nodes: with a token, and for this machine alone."""


@dataclass
class Nodes:
    """The process that has them, where they are reached, and the process ids of their raylets."""

    host: subprocess.Popen[str]
    address: str
    head: int
    raylets: list[int]

    def kill(self, raylet: int) -> None:
        """A node goes away."""
        node = psutil.Process(raylet)
        for process in (node, *node.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.raylets.remove(raylet)

    def kill_head(self) -> None:
        """The node goes away that knows the cluster, with all that is its own."""
        for process in self.host_processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def host_processes(self) -> list[psutil.Process]:
        """Everything of the head: what its host started, but for the other nodes."""
        found = []
        for process in psutil.Process(self.host.pid).children(recursive=True):
            lineage = {process.pid, *(each.pid for each in process.parents())}
            if not lineage & set(self.raylets):
                found.append(process)
        return found

    def workers(self) -> list[psutil.Process]:
        """What trains on the nodes that are left."""
        found = []
        for raylet in self.raylets:
            try:
                found += filter(is_worker, psutil.Process(raylet).children(recursive=True))
            except psutil.NoSuchProcess:
                continue
        return found

    def add(self) -> int:
        """A new node; returns the process id of its raylet."""
        assert self.host.stdin is not None
        self.host.stdin.write("add\n")
        self.host.stdin.flush()
        self.raylets.append(int(_answer(self.host)[0]))
        return self.raylets[-1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def is_worker(process: psutil.Process) -> bool:
    """Whether that is a process of Ray that may train something."""
    try:
        name = process.name()
    except psutil.NoSuchProcess:
        return False
    return name.startswith("ray::") and not name.endswith("Agent")


@contextmanager
def running_nodes(folder: Path, port: int, count: int) -> Iterator[Nodes]:
    """A cluster of so many nodes beside the head, which ends with the context.

    Raises:
        CannotBeDone: Ray is not installed.
    """
    if find_spec("ray") is None:
        raise CannotBeDone("Ray is not installed")
    environment = {**os.environ, **QUIET, "PYTHONPATH": str(ROOT)}
    with (folder / "nodes.log").open("ab") as log:
        host = subprocess.Popen(
            [sys.executable, "-c", HOST, str(port), str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
        )  # fmt: skip
    started: list[psutil.Process] = []
    try:
        address, head, *raylets = _answer(host)
        started = psutil.Process(host.pid).children(recursive=True)
        yield Nodes(host, address, int(head), [int(raylet) for raylet in raylets])
    finally:
        started += psutil.Process(host.pid).children(recursive=True)
        host.kill()
        with suppress(BrokenPipeError), host:  # closes what is open to it, and waits
            pass
        for process in started:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _answer(host: subprocess.Popen[str]) -> list[str]:
    assert host.stdout is not None
    for line in host.stdout:
        if line.startswith("answer:"):
            return line.split()[1:]
    raise CannotBeDone("a Ray of several nodes does not start here")
