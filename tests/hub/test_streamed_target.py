"""A target that is streamed from the Hub: every row, one commit, and what happens when it fails."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.hub_client import Client
from tests.helpers.loopback import LoopbackHub
from tests.helpers.toy_texts import TARGET_WORDS, toy_rows

SIZES = (13, 1, 30)


def jsonl(texts: list[str]) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


def put_tweets(hub: LoopbackHub, texts: list[str], repo_id: str = "me/tweets") -> None:
    """Three files of unequal length, one of them compressed."""
    files, start = {}, 0
    for number, size in enumerate(SIZES):
        part = jsonl(texts[start : start + size])
        start += size
        name = f"train-{number}.jsonl"
        files.update({f"{name}.gz": gzip.compress(part)} if number == 2 else {name: part})
    hub.put(repo_id, files, kind="datasets", private=True)


TEXTS = [text for text, _ in toy_rows(TARGET_WORDS, sum(SIZES), seed=3)]
PROGRAM = """
import datasets
datasets.config.STREAMING_READ_RETRY_INTERVAL = 0.01
datasets.config.STREAMING_READ_SERVER_UNAVAILABLE_RETRY_INTERVAL = 0.01
datasets.config.STREAMING_READ_MAX_RETRIES = 3
from nlp_adapt.data.reading.shards import find_shards
from nlp_adapt.data.streaming import TextStream
from nlp_adapt.errors import DataError
task = "sequence-classification"
def opened(reference, **options):
    return TextStream(find_shards(reference, task), task=task, buffer=8, **options)
try:
    stream = opened(repo_id)
    answer = {}
except DataError as error:
    answer = str(error)
"""


TAKE = """
if not isinstance(answer, str):
    try:
        stream.take(3)
        answer = stream.left_out.report()
    except DataError as error:
        answer = str(error)
"""


def ask(client: Client, text: str, repo_id: str = "me/tweets") -> Any:
    """What a program finds once the stream is open; or why it cannot be opened."""
    return client.program(f"repo_id = {repo_id!r}\n{PROGRAM}{text}")


def test_each_pass_holds_every_row_of_every_file_once(hub: LoopbackHub, client: Client) -> None:
    put_tweets(hub, TEXTS)
    found = ask(
        client,
        """
count = 44
answer["names"] = [shard.name for shard in stream.shards]
answer["passes"] = [stream.take(count) for _ in range(2)]
later = opened("me/tweets")
later.take(count + 20)
state = later.state
rest = later.take(30)
other = opened("me/tweets")
other.seek(state)
answer["same"] = other.take(30) == rest
""",
    )
    assert found["names"] == [f"me/tweets/train[{index}]" for index in range(3)]
    first, second = found["passes"]
    assert sorted(first) == sorted(second) == sorted(TEXTS)
    assert first != second
    assert found["same"]


def test_a_stream_stays_at_its_commit_and_a_new_one_is_another(
    hub: LoopbackHub, client: Client
) -> None:
    put_tweets(hub, TEXTS)
    before = ask(client, "kept = stream\nanswer = [stream.fingerprint(), stream.take(10)]")
    again = ask(client, "answer = [stream.fingerprint(), stream.take(10)]")
    assert again == before
    hub.requests.clear()
    found = ask(
        client,
        """
stream.take(5)
answer = [stream.fingerprint(), [shard.source.commit for shard in stream.shards]]
""",
    )
    oid = hub.repos["datasets/me/tweets"].refs["main"]
    assert found == [before[0], [oid] * 3]
    reads = [one for one in hub.requests if "/resolve/" in one]
    assert reads
    assert all(f"/resolve/{oid}/" in one for one in reads)
    put_tweets(hub, [text.replace("phone", "queue") for text in TEXTS])
    assert ask(client, "answer = stream.fingerprint()") != before[0]


@pytest.mark.parametrize("status", [503, None])
def test_a_line_that_drops_for_a_moment_loses_no_row(
    hub: LoopbackHub, client: Client, status: int | None
) -> None:
    put_tweets(hub, TEXTS)
    hub.fail(r"GET .*/resolve/.*train-\d", status, times=2)
    assert sorted(ask(client, "answer = stream.take(44)")) == sorted(TEXTS)


# Each with a name of its own: the client keeps what it has listed of a commit.


def test_what_cannot_be_streamed_is_one_sentence(hub: LoopbackHub, client: Client) -> None:
    said = ask(client, TAKE, "me/nothing")
    assert "me/nothing/train is neither a file or folder here nor a dataset on the Hub" in said
    put_tweets(hub, TEXTS, "me/gated")
    hub.fail("GET .*/resolve/.*", 403)
    said = ask(client, TAKE, "me/gated")
    assert "the Hub dataset me/gated/train cannot be streamed: " in said
    assert "\n" not in said
    assert 1 <= hub.count("GET .*/resolve/.*train-") <= 2  # not asked for again and again


def test_broken_rows_of_a_hub_file_are_refused(hub: LoopbackHub, client: Client) -> None:
    hub.put("me/broken", {"train.jsonl": b'{"text": "a"}\n{"text": \n'}, kind="datasets")
    said = ask(client, TAKE, "me/broken")
    assert "me/broken/train cannot be streamed: " in said
    hub.put("me/blank", {"train.jsonl": b'{"text": "a"}\n{"text": ""}\n'}, kind="datasets")
    found = ask(client, TAKE, "me/blank")
    assert found["without_text"] == {"rows": 1, "first": ["me/blank/train:1"]}


def test_training_on_a_stream_from_the_hub(
    hub: LoopbackHub, client: Client, tiny_model_dir: Path, toy_source_csv: Path, tmp_path: Path
) -> None:
    put_tweets(hub, TEXTS)
    words = (
        *("train", "--model", tiny_model_dir, "--source", toy_source_csv, "--streaming"),
        *("--target", "me/tweets", "--max-steps", 14, "--per-device-train-batch-size", 4),
        *("--precision", "fp32", "--disable-tqdm", "--no-compare-source-only"),
        *("--shuffle-buffer-size", 8, "--output-dir", tmp_path / "run"),
    )
    code, _, err = client.command(*words)
    assert code == 0, err
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["adapted"]["steps"] == 14
    assert results["adapted"]["left_out"]["unreadable"]["rows"] == 0
    assert len(results["fingerprints"]["target_stream"]) == 64
