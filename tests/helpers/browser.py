"""Headless Chromium, driven over a pipe by its DevTools protocol; no package is needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking"),
    *("--remote-debugging-pipe", "--force-color-profile=srgb"),
)
_LIGHT, _DARK = ([{"name": "prefers-color-scheme", "value": one}] for one in ("light", "dark"))
_KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Backspace": 8, "Tab": 9, "Enter": 13}


class Browser:
    """A browser with one page."""

    def __init__(self, folder: Path) -> None:
        assert PROGRAM is not None
        self.downloads = folder / "downloads"
        self.downloads.mkdir()
        read_commands, self._commands = os.pipe()
        self._answers, write_answers = os.pipe()
        options = [*_OPTIONS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        pipes = f"3<&{read_commands} 4>&{write_answers}"
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$0" "$@" {pipes}', PROGRAM, *options],
            pass_fds=(read_commands, write_answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_commands)
        os.close(write_answers)
        self.events: list[dict[str, Any]] = []
        self._buffer, self._count, self._session = b"", 0, ""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Give a command and wait for its answer; events that come before it are kept."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._count:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.events.append(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._answers, 1 << 16)
            assert part, "the browser has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, path: Path) -> None:
        """Show a local file, and wait until it is there."""
        self.events.clear()
        self.send("Page.navigate", url=path.as_uri())
        while self.run("document.readyState") != "complete":
            time.sleep(0.02)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as a person does."""
        for key in keys:
            code = {"windowsVirtualKeyCode": _KEYS.get(key, ord(key[0].upper()))}
            text = {} if key in _KEYS else {"text": key}
            self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **code, **text)
            self.send("Input.dispatchKeyEvent", type="keyUp", key=key, **code)

    def look(self, *, width: int = 1200, dark: bool = False) -> None:
        """Be as wide, and in light or dark."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=844, deviceScaleFactor=1, mobile=width < 500,
        )  # fmt: skip
        features = _DARK if dark else _LIGHT
        self.send("Emulation.setEmulatedMedia", media="", features=features)

    def complaints(self) -> list[str]:
        """What went wrong on the page: exceptions, and what its policy has blocked."""
        self.run("0")  # collects what is still to come
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(one["params"]) for one in self.events if one["method"] in kinds]

    def requests(self) -> list[str]:
        """Every address that the page has asked for."""
        sent = [one for one in self.events if one["method"] == "Network.requestWillBeSent"]
        return [one["params"]["request"]["url"] for one in sent]

    def downloaded(self, name: str) -> Path:
        """A file that the page has saved."""
        path = self.downloads / name
        for _ in range(200):
            if path.exists():
                return path
            time.sleep(0.05)
        raise AssertionError(f"{name} was not saved")

    def on_paper(self) -> None:
        """Look as the page does when it is printed."""
        self.send("Emulation.setEmulatedMedia", media="print", features=_DARK)

    def close(self) -> None:
        """End the browser."""
        os.close(self._commands)
        os.close(self._answers)
        self.process.terminate()
        self.process.wait(10)
