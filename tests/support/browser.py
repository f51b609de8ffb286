"""A headless Chromium that a test drives: over its debugging pipe, so that nothing is installed for it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SWITCHES = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-extensions", "--hide-scrollbars", "--remote-debugging-pipe",
            "--host-resolver-rules=MAP * ~NOTFOUND"]  # fmt: skip


class Browser:
    """One page of a Chromium; every event that it reported is kept in `events`."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._rest, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        found = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command of the DevTools protocol."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        for answer in self._messages():
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self.events.append(answer)
        raise AssertionError("the browser has ended")

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            while b"\0" not in self._rest:
                more = os.read(self._back, 1 << 20)
                if not more:
                    return
                self._rest += more
            line, _, self._rest = self._rest.partition(b"\0")
            yield json.loads(line)

    def show(self, file: Path, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Open a file in a window of that width, in light or in dark colours."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media="", features=[scheme])
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        self.events.clear()
        self.ask("Page.navigate", url=file.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.value("1")

    def value(self, script: str) -> Any:
        """What an expression is in the page."""
        found = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str, code: str | None = None, text: str = "") -> None:
        """One key, to whatever has the focus."""
        event = {"key": key, "code": code or key, "text": text}
        codes = {"Enter": 13, "Tab": 9, " ": 32, "Escape": 27}
        event |= {"windowsVirtualKeyCode": codes.get(key, 0)}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **event)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **{**event, "text": ""})

    def picture(self, file: Path, *, whole: bool = True) -> Path:
        """A screenshot, of the whole page."""
        if whole:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            found = self.ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        else:
            found = self.ask("Page.captureScreenshot")
        file.write_bytes(base64.b64decode(found["data"]))
        return file

    def printed(self, file: Path) -> Path:
        """The page as a PDF, as its own style sheet wants it."""
        found = self.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=False)
        file.write_bytes(base64.b64decode(found["data"]))
        return file

    @property
    def requests(self) -> list[str]:
        """What it asked for since the page was opened, but for the file itself and what is inside it."""
        sent = [e["params"]["request"]["url"] for e in self.events if e["method"].endswith("WillBeSent")
                and "request" in e["params"]]  # fmt: skip
        return [address for address in sent if not address.startswith(("data:", "file:"))]

    @property
    def complaints(self) -> list[str]:
        """What it said of the page in its log: errors of scripts, and what its policy refused."""
        logged = [e["params"]["entry"] for e in self.events if e["method"] == "Log.entryAdded"]
        thrown = [e["params"] for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        return [entry["text"] for entry in logged if entry["level"] == "error"] + list(
            map(str, thrown)
        )


@contextmanager
def browser(chromium: str, profile: Path) -> Iterator[Browser]:
    """A Chromium with a profile of its own, ended afterwards."""
    (ours_in, its_out), (its_in, ours_out) = os.pipe(), os.pipe()
    # It reads commands from file descriptor 3 and writes answers to 4.
    command = ["bash", "-c", f'exec 3<&{its_in} 4>&{its_out}; exec "$0" "$@"', chromium, *SWITCHES,
               f"--user-data-dir={profile}"]  # fmt: skip
    process = subprocess.Popen(
        command, pass_fds=(its_in, its_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(its_in)
    os.close(its_out)
    try:
        yield Browser(ours_out, ours_in)
    finally:
        process.terminate()
        process.wait(timeout=30)
        os.close(ours_out)
        os.close(ours_in)
