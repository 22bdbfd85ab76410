"""The real Hub client, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.helpers.loopback import TOKEN

ROOT = Path(__file__).parents[2]


def client_environment(url: str, home: Path, token: str | None = TOKEN) -> dict[str, str]:
    """The environment in which the client talks to `url` alone."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))
    }
    own = {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    return {**kept, **own, **({"HF_TOKEN": token} if token else {})}


@dataclass
class Client:
    """Sends commands and programs to the worker; `waits` are the pauses that the last one made."""

    process: subprocess.Popen[str]
    home: Path
    waits: list[float] = field(default_factory=list)

    def command(self, *words: object) -> tuple[int, str, str]:
        """Run `nlp-adapt`: exit code, stdout, stderr."""
        reply = self._ask({"args": [str(word) for word in words]})
        return reply["code"], reply["out"], reply["err"]

    def program(self, text: str) -> Any:
        """Run a program and return its `answer`."""
        reply = self._ask({"program": text})
        assert reply["code"] == 0, reply["err"]
        return reply["answer"]

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        self.waits = reply["waits"]
        return reply
