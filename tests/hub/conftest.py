"""A loopback Hub, and the real client that talks to it from a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.hub_client import Client, client_environment
from tests.helpers.loopback import LoopbackHub


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
        [sys.executable, "-m", "tests.helpers.hub_worker"],
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
    from nlp_adapt.reporting.card import write_card

    write_card(run)
    return run
