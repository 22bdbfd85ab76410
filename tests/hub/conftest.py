"""A loopback Hub, and the real client that talks to it from a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.hub.loopback import TOKEN, LoopbackHub

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
    """Sends commands and programs to the worker."""

    process: subprocess.Popen[str]
    home: Path

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
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="session")
def _running_hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as running:
        yield running


@pytest.fixture
def hub(_running_hub: LoopbackHub) -> LoopbackHub:
    """The Hub, empty and well."""
    _running_hub.reset()
    return _running_hub


@pytest.fixture(scope="session")
def _client_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf-home")


@pytest.fixture(scope="session")
def client(_running_hub: LoopbackHub, _client_home: Path) -> Iterator[Client]:
    """The real client, logged in."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.hub.worker"],
        env=client_environment(_running_hub.url, _client_home),
        cwd=_client_home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield Client(process, _client_home)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=60)


@pytest.fixture
def saved_run(tmp_path: Path) -> Path:
    """What a finished run leaves, with weights that no library needs to open."""
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    (run / "adaptation").mkdir()
    (run / "model" / "config.json").write_text('{"model_type": "bert"}')
    (run / "model" / "model.safetensors").write_bytes(b"weights" * 100)
    (run / "model" / "tokenizer.json").write_text("{}")
    (run / "adaptation" / "objectives.safetensors").write_bytes(b"discriminator")
    results = {
        "task": "sequence-classification",
        "method": "dann",
        "model": "roberta-base",
        "seed": 42,
        "labels": ["negative", "positive"],
        "source": {"name": "films", "reference": f"{tmp_path}/films.csv", "rows": {"train": 9}},
        "target": {"name": "tweets", "reference": "me/tweets", "rows": {"train": 8}},
        "source_only": None,
        "adapted": {"source": {"accuracy": 0.8, "macro_f1": 0.8}, "target": None},
        "machine": {"device": "cpu"},
    }
    (run / "results.json").write_text(json.dumps(results))
    (run / "recipe.yaml").write_text(f"seed: 42\nsource: {tmp_path}/films.csv\noutput_dir: {run}\n")
    from nlp_adapt.reporting.model_card import write_card

    write_card(run)
    return run
