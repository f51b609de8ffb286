"""A guard before pages that have no login: they answer their own addresses on this machine alone.

A page elsewhere could lead its own name to this machine (DNS rebinding) and read what is here, or show our
page inside itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ablate.system.process.ports import HOST

Application = Callable[..., Iterable[bytes]]


def own_pages_only(app: Application, port: int, parts: tuple[str, ...] = ()) -> Application:
    """A WSGI application that refuses other hosts and origins, and may stand in no frame; what is below
    `parts` may stand in frames of its own pages, as TensorBoard's plugins do.
    """
    hosts = {f"{HOST}:{port}", f"localhost:{port}"}
    origins = {None, *(f"http://{host}" for host in hosts)}

    def guarded(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        framed = "'self'" if environ.get("PATH_INFO", "").startswith(parts) else "'none'"
        policy = ("Content-Security-Policy", f"frame-ancestors {framed}")

        def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start(status, [*headers, policy], *more)

        if environ.get("HTTP_HOST") in hosts and environ.get("HTTP_ORIGIN") in origins:
            return app(environ, begin)
        begin("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"This page answers its own addresses on this machine only.\n"]

    return guarded
