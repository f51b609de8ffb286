"""`ablate dashboard`: Optuna's dashboard on what the searches of a database have asked."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass

from ablate.search.dashboard import serve
from ablate.search.storage import open_storage, storage_url
from ablate.system.messages.console import say
from ablate.system.messages.pulse import PULSE


@dataclass(frozen=True)
class DashboardOptions:
    """What is shown, and on which port."""

    storage: str | None
    port: int


def show_dashboard(url: str, options: DashboardOptions) -> None:
    """Serve the dashboard on this machine until Ctrl-C.

    Raises:
        DatabaseError: no search has run yet, or a storage that is refused.
        OptionError: there is no free port.
    """
    storage = open_storage(storage_url(options.storage, url), create=False)
    address = serve(storage, options.port)
    taken = "" if f":{options.port}/" in address else f" (port {options.port} is in use)"
    PULSE.end()
    with contextlib.suppress(KeyboardInterrupt):
        say(f"dashboard: {address}{taken}; on this machine only; Ctrl-C ends it")
        say(f"next: open {address}")
        threading.Event().wait()
