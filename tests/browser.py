"""Controls a headless Chromium with the DevTools protocol of Chrome."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SECONDS = 30


def find_chromium() -> str | None:
    """Returns the program, or None if it is not installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab. `messages` collects console messages and exceptions, `requests` the URLs of all requests."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self._socket = socket
        self._number = 0
        self.messages: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol and returns its result."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        about = event.get("params", {})
        if event["method"] == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.messages.append(json.dumps(about))

    def open(self, file: Path) -> None:
        """Loads a file and waits until it is drawn."""
        self.call("Page.navigate", url=file.absolute().as_uri())
        self.wait_for("document.readyState === 'complete'")
        self.settle()

    def run(self, script: str) -> Any:
        """Returns the value of a JavaScript expression. Waits for a promise."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def settle(self) -> None:
        """Waits for two frames, so that changes are drawn."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def wait_for(self, condition: str) -> None:
        """Waits until an expression is true."""
        deadline = time.monotonic() + _SECONDS
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < deadline, condition
            time.sleep(0.02)

    def press(self, key: str, text: str = "") -> None:
        """Presses a key of the keyboard. `text` is the character that it types."""
        code = {"Enter": 13, "Tab": 9, "Escape": 27}.get(key, 0)
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Types into the focused element."""
        self.call("Input.insertText", text=text)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Sends a mouse event of `kind` (mousePressed, mouseMoved, mouseReleased, mouseWheel)."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def show_as(self, width: int, height: int, scheme: str = "light", motion: str = "reduce", media: str = "") -> None:
        """Sets the size of the window, the color scheme, and the preference for motion."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        self.call(
            "Emulation.setEmulatedMedia",
            media=media,
            features=[{"name": name, "value": value} for name, value in features.items()],
        )
        self.settle()

    def screenshot(self, path: Path) -> None:
        """Returns a screenshot of the window (PNG)."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def print_to(self, path: Path) -> None:
        """Returns the printed page (PDF)."""
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"]))


@contextlib.contextmanager
def open_browser(folder: Path) -> Iterator[Page]:
    """Yields a browser with its profile in `folder`."""
    program = find_chromium()
    assert program, "Chromium is not installed"
    # Chromium's sandbox does not work as root and in most containers. The opened files are our own.
    command = [
        program,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
    ]
    command += ["--no-first-run", "--remote-debugging-port=0", "--remote-allow-origins=*", f"--user-data-dir={folder}"]
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "about:blank"], stdout=log, stderr=log, env=os.environ | {"HOME": str(folder)}
        )
    try:
        port = _port(folder / "DevToolsActivePort", process)
        yield Page(websocket.create_connection(_address_of_page(port), timeout=_SECONDS))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if file.is_file() and (lines := file.read_text(encoding="utf-8").splitlines()):
            return int(lines[0])
        time.sleep(0.05)
    raise AssertionError((file.parent / "chromium.log").read_text(encoding="utf-8", errors="replace"))


def _address_of_page(port: int) -> str:
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=_SECONDS) as answer:
        targets = json.load(answer)
    return next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
