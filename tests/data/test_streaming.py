"""A streamed target: every row once a pass, the same from any position, constant memory."""

import gzip
import json
from collections import Counter

import numpy as np
import pytest

from nlp_adapt.data.batches.encoded import pack_rows
from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.data.batches.streamed import StreamedBatches
from nlp_adapt.data.reading.shards import find_shards, hub_split
from nlp_adapt.data.streaming import TextStream
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


def stream_of(folder, buffer=10, seed=0, task=TASK, **options):
    shards = find_shards(str(folder), task)
    return TextStream(shards, task=task, buffer=buffer, seed=seed, **options)


@pytest.fixture(autouse=True)
def _short_windows(monkeypatch):
    """Several windows in a few steps."""
    monkeypatch.setattr("nlp_adapt.data.batches.pairing.WINDOW_STEPS", 32)


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


@pytest.mark.parametrize("buffer", [25, 200, 1000])
def test_a_single_shard_is_mixed_as_far_as_the_buffer_reaches(tmp_path, buffer):
    """Rows in order go in; within a buffer's length every place is as likely as any other."""
    count = 1000
    (tmp_path / "a.txt").write_text("".join(f"t{i}\n" for i in range(count)))
    stream = stream_of(tmp_path, buffer)
    first, second = (np.array([int(t[1:]) for t in stream.take(count)]) for _ in range(2))
    for order in (first, second):
        moved = np.abs(order - np.arange(count))
        assert moved.max() < buffer
        assert buffer / 4 < moved.mean() < buffer / 2.4  # a uniform shuffle moves rows by a third
        inside = [
            abs(np.corrcoef(np.arange(buffer), order[i : i + buffer])[0, 1])
            for i in range(0, count, buffer)
        ]
        assert np.mean(inside) < 0.4
    assert abs(np.corrcoef(first % buffer, second % buffer)[0, 1]) < 0.15


def test_the_buffer_reaches_over_the_ends_of_shards(tmp_path):
    for number in range(20):
        (tmp_path / f"{number}.txt").write_text("".join(f"t{5 * number + i}\n" for i in range(5)))
    texts = stream_of(tmp_path, buffer=50).take(100)
    assert len({int(text[1:]) // 5 for text in texts[:20]}) > 6
    assert len({int(text[1:]) // 5 for text in texts[:50]}) == 10


def test_the_first_texts_come_once_each(shards):
    folder, expected = shards
    for buffer in (1, 10, 71, 1000):
        assert Counter(stream_of(folder, buffer).first_texts(2000)) == Counter(expected)
    assert len(stream_of(folder).first_texts(33)) == 33


def test_rows_without_text_are_left_out_counted_and_named_once(tmp_path, caplog):
    (tmp_path / "a.jsonl").write_text(
        '{"text": "one"}\n{"text": "  "}\n\n{"id": 3}\n{"text": null}\n{"text": "two"}\n'
    )
    (tmp_path / "b.jsonl").write_text('{"text": ""}\n')
    stream = stream_of(tmp_path, buffer=2)
    assert Counter(stream.take(8)) == {"one": 4, "two": 4}
    found = stream.left_out.report()
    assert found["unreadable"] == {"rows": 0, "first": []}
    assert found["without_text"]["rows"] == 4
    assert sorted(found["without_text"]["first"]) == [
        "a.jsonl:2", "a.jsonl:4", "a.jsonl:5", "b.jsonl:1",
    ]  # fmt: skip
    assert caplog.text.count("holds no text. Such rows are left out") == 1


BROKEN = {
    "json": (
        "b.jsonl",
        '{"text": "b"}\n{"text": \n{"text": "c"}\n',
        r"b\.jsonl:2 is not valid JSON",
    ),
    "list": (
        "b.jsonl",
        '{"text": "b"}\n["x"]\n{"text": "c"}\n',
        r"b\.jsonl:2 is not a JSON object",
    ),
    "number": ("b.jsonl", '{"text": "b"}\n{"text": 7}\n{"text": "c"}\n', "b.jsonl:2 holds an int"),
    "bytes": ("b.txt", b"b\n\xff\xfe\nc\n", r"b\.txt:2 is not UTF-8"),
    "fields": ("b.csv", "text,id\nb,1\nx,2,3\nc,4\n", r"b\.csv:3"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_unreadable_rows_are_refused_unless_quarantine_allows_them(tmp_path, kind):
    name, content, message = BROKEN[kind]
    (tmp_path / "a.txt").write_text("a\n")
    write = (
        (tmp_path / name).write_bytes
        if isinstance(content, bytes)
        else (tmp_path / name).write_text
    )
    write(content)
    with pytest.raises(DataError, match=message + ".* Set quarantine"):
        stream_of(tmp_path).take(4)
    stream = stream_of(tmp_path, buffer=2, quarantine=1)
    assert Counter(stream.take(6)) == {"a": 2, "b": 2, "c": 2}
    found = stream.left_out.report()
    assert found["without_text"]["rows"] == 0
    assert found["unreadable"]["rows"] == 1  # two passes have seen it
    (reason,) = found["unreadable"]["first"]
    assert name in reason


def test_more_unreadable_rows_than_quarantine_allows_end_the_stream(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\nx\ny\nz\n')
    with pytest.raises(
        DataError, match=r"than quarantine allows \(2\); this one: a\.jsonl:4 is not"
    ):
        stream_of(tmp_path, quarantine=2).take(1)
    # The limit is that of each file, as for files that are read whole.
    (tmp_path / "b.jsonl").write_text('x\ny\n{"text": "two"}\n')
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\nx\ny\n')
    stream = stream_of(tmp_path, quarantine=2)
    assert Counter(stream.take(2)) == {"one": 1, "two": 1}
    assert stream.left_out.report()["unreadable"]["rows"] == 4


def test_a_shard_that_failed_is_not_one_that_has_ended(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\nx\n{"text": "two"}\n')
    stream = stream_of(path, buffer=2)
    for _ in range(2):
        with pytest.raises(DataError, match=r"a\.jsonl:2"):
            stream.take(1)
    path.write_text('{"text": "one"}\n{"text": "mended"}\n{"text": "two"}\n')
    assert Counter(stream.take(3)) == {"one": 1, "mended": 1, "two": 1}


def test_tokens_that_are_none_are_named(tmp_path):
    rows = [{"tokens": ["a", "b"]}, {"tokens": ["a", 3]}, {"tokens": []}, {"tokens": "plain"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = "token-classification"
    with pytest.raises(DataError, match=r"a\.jsonl:2 does not hold a list of tokens"):
        stream_of(tmp_path, task=task).take(1)
    stream = stream_of(tmp_path, task=task, quarantine=2)
    assert stream.take(2) == [["a", "b"]] * 2
    assert {kind: one["rows"] for kind, one in stream.left_out.report().items()} == {
        "without_text": 1,
        "unreadable": 2,
    }


def test_plain_text_is_split_into_words_for_tagging(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "two words"}\n')
    assert stream_of(tmp_path, task="token-classification").take(1) == [["two", "words"]]


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
    hub = hub_split("someone/tweets:en/test")
    assert (hub.path, hub.config, hub.split) == ("someone/tweets", "en", "test")
    assert hub_split("tweets").name == "tweets/train"


def test_a_hub_data_set_that_is_out_of_reach_is_one_sentence():
    """The tests are offline; the loopback Hub of tests/hub streams one."""
    with pytest.raises(DataError, match=r"Hub dataset someone/tweets/train cannot be streamed: .*"):
        find_shards("someone/tweets", TASK)


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


def batches_of(
    folder,
    steps=70,
    processes=1,
    process=0,
    micro_batches=1,
    batch_size=4,
    encode=encode,
    **options,
):
    source = pack_rows([[2, *[5] * (1 + i % 7), 3] for i in range(19)], np.arange(19) % 2)
    stream = stream_of(folder, **options)
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


def windowed(texts):
    """As `encode`, but every third text is a long one of three rows."""
    ids = [int(text[1:]) for text in texts]
    rows = [[2, 10 + i, 10 + part, 3] for i in ids for part in range(1 if i % 3 else 3)]
    return pack_rows(rows).in_domain(1)


def windows_of(batches):
    """The target rows of a step as (text, part)."""
    found = []
    for batch in batches:
        rows = np.unique(batch["unit_rows"][batch["domains"] == 1])
        found += [tuple(row) for row in (batch["input_ids"][rows, 1:3] - 10).tolist()]
    return found


def test_every_row_of_a_long_text_is_used(shards):
    folder, expected = shards
    rows = sum(1 if i % 3 else 3 for i in range(len(expected)))
    batches = batches_of(folder, steps=rows, encode=windowed)  # four passes
    used = Counter(row for step in range(rows) for row in windows_of(batches.step(step)))
    assert set(used.values()) == {4}
    assert len(used) == rows


@pytest.mark.parametrize("at", [1, 23, 24, 35, 40, 69])
def test_batches_of_long_texts_go_on_from_any_step(shards, at):
    folder, _ = shards
    whole, first, later = (batches_of(folder, encode=windowed) for _ in range(3))
    expected = [(windows_of(whole.step(s)), whole.row_ids(s)["target"].tolist()) for s in range(70)]
    for step in range(at):
        first.step(step)
    later.seek(json.loads(json.dumps(first.stream_state(at))))
    for step in range(at, 70):
        assert windows_of(later.step(step)) == expected[step][0]
        assert later.row_ids(step)["target"].tolist() == expected[step][1]
    ids = np.concatenate([ids for _, ids in expected])
    assert sorted(ids) == list(range(len(ids)))


def test_what_was_left_out_is_remembered_over_a_stop(shards):
    folder, _ = shards
    (folder / "part4.txt").write_text("t0\n\n\nt1\n")
    (folder / "part5.jsonl").write_text('{"text": "t2"}\nbroken\n')
    whole = batches_of(folder, quarantine=1)
    for step in range(40):  # two passes
        whole.step(step)
    later = batches_of(folder, quarantine=1)
    later.seek(json.loads(json.dumps(whole.stream_state(40))))
    for step in range(40, 70):
        later.step(step)
    found = later._left_out.report()
    assert {kind: one["rows"] for kind, one in found.items()} == {
        "without_text": 2,
        "unreadable": 1,
    }


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
