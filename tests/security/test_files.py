"""Data of strangers: links, paths that lead elsewhere, and files that unpack to more than is sane."""

import gzip

import pyarrow
import pytest
from datasets import Dataset
from pyarrow import parquet

from nlp_adapt.data.loading import load_domain
from nlp_adapt.data.reading import lines
from nlp_adapt.data.reading.files import RowFile
from nlp_adapt.data.reading.parquet import Parquet
from nlp_adapt.errors import DataError
from nlp_adapt.training.saving.run_folder import RunFolder


def test_a_parquet_bomb_is_refused_whatever_its_footer_says(tmp_path, monkeypatch):
    path = tmp_path / "bomb.parquet"
    Dataset.from_dict({"text": ["a" * 2_000] * 20_000}).to_parquet(path)  # 40 MB of one string
    assert path.stat().st_size < 10**6
    with pytest.raises(DataError, match="decompression bomb"):
        load_domain(path)
    with pytest.raises(DataError, match="decompression bomb"):
        list(RowFile(path, "sequence-classification").chunks(100))
    monkeypatch.setattr(lines, "HARMLESS_BYTES", 10**9)
    assert len(load_domain(path).unlabelled) == 20_000


@pytest.mark.parametrize("column", ["text", "tokens"])
def test_a_value_that_a_parquet_file_repeats_is_measured_before_it_is_written_out(tmp_path, column):
    """Five megabytes once in the file, and a thousand times in memory."""
    path = tmp_path / "bomb.parquet"
    long = "a" * 5_000_000
    indices = pyarrow.array([0] * 1_000, pyarrow.int32())
    values = pyarrow.DictionaryArray.from_arrays(indices, pyarrow.array([long]))
    if column == "tokens":
        values = pyarrow.ListArray.from_arrays(pyarrow.array(range(1_001), pyarrow.int32()), values)
    parquet.write_table(pyarrow.table({column: values}), path, compression="zstd")
    assert path.stat().st_size < 10_000
    before = pyarrow.total_allocated_bytes()
    pool = pyarrow.default_memory_pool()
    with pytest.raises(DataError, match="decompression bomb"):
        list(Parquet().rows(path))
    assert pool.max_memory() - before < 500_000_000


def test_an_honest_parquet_file_is_read_in_order(tmp_path):
    path = tmp_path / "rows.parquet"
    texts = [f"text {i}" for i in range(5_000)]
    Dataset.from_dict({"text": texts}).to_parquet(path, batch_size=1_500)
    assert list(load_domain(path).unlabelled["text"]) == texts


def test_archives_are_not_opened_by_surprise(tmp_path):
    for name in ("data.zip", "data.tar.gz", "data.csv.zip", "data.csv.bz2"):
        (tmp_path / name).write_bytes(b"PK\x03\x04")
        with pytest.raises(DataError, match="unknown format"):
            load_domain(tmp_path / name)


def test_a_gzip_inside_a_gzip_stays_packed(tmp_path):
    path = tmp_path / "twice.txt.gz"
    path.write_bytes(gzip.compress(gzip.compress(b"text\n" * 100)))
    with pytest.raises(DataError, match="not UTF-8"):
        load_domain(path)


def test_data_sets_do_not_run_scripts(tmp_path, monkeypatch):
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "corpus.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no data files"):
        load_domain("corpus")
    assert not (tmp_path / "sprung").exists()


def test_overwriting_a_run_leaves_what_links_point_to(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.model.symlink_to(precious)
    run.results.symlink_to(precious / "file")
    (run.path / "notes.txt").write_text("also mine")
    run.claim(overwrite=True, resume=False)
    assert not run.holds_run()
    assert (precious / "file").read_text() == "mine"
    assert (run.path / "notes.txt").read_text() == "also mine"
