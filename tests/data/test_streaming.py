"""A streamed target: every row once a pass, the same from any position, constant memory."""

import gzip
import json
from collections import Counter

import numpy as np
import pytest

from nlp_adapt.data.pairing import PairedBatches
from nlp_adapt.data.preprocessing import pack_rows
from nlp_adapt.data.streaming import StreamedBatches, TextStream, find_shards
from nlp_adapt.errors import DataError

TASK = "sequence-classification"


def write_shards(folder, sizes=(40, 7, 1, 23)):
    """Shards of unequal length in several formats; text `t<i>` stands for row i."""
    folder.mkdir()
    start, expected = 0, []
    for number, size in enumerate(sizes):
        texts = [f"t{start + i}" for i in range(size)]
        start += size
        expected += texts
        name = folder / f"part{number}"
        if number % 4 == 0:
            name.with_suffix(".jsonl").write_text(
                "".join(json.dumps({"text": t}) + "\n" for t in texts)
            )
        elif number % 4 == 1:
            with gzip.open(folder / f"part{number}.csv.gz", "wt") as file:
                file.write("id,review\n" + "".join(f"1,{t}\n" for t in texts))
        elif number % 4 == 2:
            name.with_suffix(".txt").write_text("".join(f"{t}\n" for t in texts))
        else:
            from datasets import Dataset

            Dataset.from_dict({"text": texts}).to_parquet(str(name.with_suffix(".parquet")))
    return expected


def stream_of(folder, buffer=10, seed=0):
    return TextStream(find_shards(str(folder), TASK), task=TASK, buffer=buffer, seed=seed)


@pytest.fixture(autouse=True)
def _short_windows(monkeypatch):
    """Several windows in a few steps."""
    monkeypatch.setattr("nlp_adapt.data.pairing.WINDOW_STEPS", 32)


@pytest.fixture
def shards(tmp_path):
    expected = write_shards(tmp_path / "shards")
    return tmp_path / "shards", expected


@pytest.mark.parametrize("buffer", [1, 10, 1000])
def test_each_pass_holds_every_row_once_in_another_order(shards, buffer):
    folder, expected = shards
    stream = stream_of(folder, buffer)
    first, second = stream.take(len(expected)), stream.take(len(expected))
    assert Counter(first) == Counter(second) == Counter(expected)
    assert first != second
    assert stream_of(folder, buffer, seed=1).take(len(expected)) != first


def test_it_goes_on_from_any_position(shards):
    folder, expected = shards
    count = 2 * len(expected) + 5
    whole = stream_of(folder).take(count)
    for position in range(count):
        stream = stream_of(folder)
        stream.take(position)
        state = json.loads(json.dumps(stream.state))
        later = stream_of(folder)
        later.seek(state)
        assert later.take(count - position) == whole[position:], position


def test_empty_shards_and_rows_are_passed_over(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"text": "one"}\n{"text": "  "}\nnot json\n{"text": "two"}\n'
    )
    (tmp_path / "b.jsonl").write_text('{"text": ""}\n')
    stream = stream_of(tmp_path)
    assert Counter(stream.take(4)) == {"one": 2, "two": 2}


@pytest.mark.parametrize("content", ['{"text": ""}\n', '{"text": "  "}\n' * 30])
def test_a_stream_without_any_text_is_an_error_not_a_hang(tmp_path, content):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(DataError, match=r"streamed target \(a\.jsonl\) holds no text"):
        stream_of(tmp_path).take(1)


def test_what_cannot_be_streamed_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.docx").write_text("")
    for reference, words in [
        (tmp_path / "empty", "holds no data files"),
        (tmp_path / "none.jsonl", "does not exist"),
        (tmp_path / "x.docx", "unknown format"),
        (tmp_path / "*.jsonl", "no file has such a name"),
        ("two words", "does not exist"),
    ]:
        with pytest.raises(DataError, match=words):
            find_shards(str(reference), TASK)
    (tmp_path / "y.csv").write_text("colour,size\nred,3\n")
    with pytest.raises(DataError, match="no column that looks like text"):
        stream_of(tmp_path / "y.csv").take(1)


def test_names_patterns_and_lists_are_understood(shards):
    folder, _ = shards
    names = ["part0.jsonl", "part1.csv.gz", "part2.txt", "part3.parquet"]
    assert [shard.name for shard in find_shards(str(folder), TASK)] == names
    assert [s.name for s in find_shards([str(folder / "*.txt"), str(folder / names[0])], TASK)] == [
        names[2],
        names[0],
    ]
    (hub,) = find_shards("someone/tweets:en/train", TASK)
    assert (hub.path, hub.config, hub.split) == ("someone/tweets", "en", "train")


def test_the_fingerprint_follows_the_content(shards):
    folder, _ = shards
    before = stream_of(folder).fingerprint()
    assert stream_of(folder, seed=5).fingerprint() == before
    text = (folder / "part2.txt").read_text()
    (folder / "part2.txt").write_text(text.replace("t", "u"))
    assert stream_of(folder).fingerprint() != before


def encode(texts):
    """`t<i>` as the one id 10 + i, with a length that depends on i."""
    ids = [int(text[1:]) for text in texts]
    return pack_rows([[2, *[10 + i] * (1 + i % 5), 3] for i in ids]).in_domain(1)


def batches_of(folder, steps=70, processes=1, process=0, micro_batches=1, batch_size=4):
    source = pack_rows([[2, *[5] * (1 + i % 7), 3] for i in range(19)], np.arange(19) % 2)
    stream = stream_of(folder)
    return StreamedBatches(
        {"source": source, "target": encode(["t0", "t3"])},
        stream=stream,
        encode=encode,
        max_length=9,
        total_steps=steps,
        batch_size=batch_size,
        pad_id=0,
        seed=3,
        micro_batches=micro_batches,
        processes=processes,
        process=process,
    )


def target_ids(batches):
    """The rows of a step that its target holds, as numbers."""
    found = []
    for batch in batches:
        rows = np.unique(batch["unit_rows"][batch["domains"] == 1])
        found += (batch["input_ids"][rows, 1] - 10).tolist()
    return found


def test_batches_use_every_row_equally_often(shards):
    folder, expected = shards
    batches = batches_of(folder, steps=71)
    used = Counter(row for step in range(71) for row in target_ids(batches.step(step)))
    assert sum(used.values()) == 71 * 4
    assert set(used) == set(range(len(expected)))
    assert max(used.values()) - min(used.values()) <= 1


def test_the_source_side_is_that_of_batches_in_memory(shards):
    folder, _ = shards
    streamed = batches_of(folder)
    memory = PairedBatches(
        {"source": streamed.sides["source"], "target": encode([f"t{i}" for i in range(71)])},
        total_steps=70, batch_size=4, pad_id=0, seed=3,
    )  # fmt: skip
    for step in range(70):
        assert (streamed.rows_of(step)["source"] == memory.rows_of(step)["source"]).all()


@pytest.mark.parametrize("at", [0, 1, 31, 35, 36, 69])
def test_batches_go_on_from_any_step(shards, at):
    folder, _ = shards
    whole = batches_of(folder)
    expected = [target_ids(whole.step(step)) for step in range(70)]
    ids = [whole.row_ids(69)["target"].tolist()]
    first = batches_of(folder)
    for step in range(at):
        first.step(step)
    later = batches_of(folder)
    later.seek(json.loads(json.dumps(first.stream_state(at))))
    assert [target_ids(later.step(step)) for step in range(at, 70)] == expected[at:]
    assert [later.row_ids(69)["target"].tolist()] == ids


def test_processes_share_each_step_between_them(shards):
    folder, _ = shards
    whole = batches_of(folder, batch_size=8)
    parts = [
        batches_of(folder, processes=2, process=p, micro_batches=2, batch_size=2) for p in (0, 1)
    ]
    for step in range(70):
        shared = [row for part in parts for row in target_ids(part.step(step))]
        assert Counter(shared) == Counter(target_ids(whole.step(step)))


def test_a_step_that_is_tried_again_takes_new_rows(shards):
    """After skipped steps the numbers start over: the stream goes on all the same."""
    folder, _ = shards
    batches = batches_of(folder)
    for step in [*range(70), 0, 1, 40]:
        assert len(target_ids(batches.step(step))) == 4


def test_memory_does_not_grow_with_the_stream(tmp_path):
    import tracemalloc

    def peak(rows):
        folder = tmp_path / str(rows)
        folder.mkdir()
        (folder / "a.txt").write_text("".join(f"t{i % 50}\n" for i in range(rows)))
        stream = stream_of(folder, buffer=500)
        tracemalloc.start()
        for _ in range(rows // 100):
            stream.take(100)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(400)  # what the first use of a library takes is not the stream's
    assert peak(40_000) < 1.3 * peak(4_000)
