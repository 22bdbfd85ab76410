"""Valid files with a mutation: read, or refused in a sentence, and nothing is written."""

import gzip
import json
import shutil

import pytest
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlp_adapt.data.loading import load_domain
from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.recipe import load_recipe
from nlp_adapt.training.saving.verify import verify_run
from tests.helpers.oddities import changes, outcome
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer

SENTENCES, WORDS = "sequence-classification", "token-classification"
ROWS = [("a good film", "positive"), ("so bad, so long", "negative"), ("good, good", "positive")]
TAGGED = "Ann B-PER\nwent O\nto O\nRome B-LOC\n\nBob B-PER\nslept O\n"
TYPICAL = (
    b"\x00",
    b"\xff\xfe",
    b'"',
    b"\n",
    b"{",
    b"]",
    b",",
    b"-1",
    b"9" * 5_000,
    b"\\ud800",
    b"NaN",
)
QUIET = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def mutations(content):
    """Bytes cut, doubled, flipped or put in, at one place."""
    places = st.integers(0, max(0, len(content) - 1))
    return st.one_of(
        places.map(lambda at: content[:at]),
        st.tuples(places, places).map(lambda two: content[: max(two)] + content[min(two) :]),
        st.tuples(places, st.integers(1, 255)).map(
            lambda one: (
                content[: one[0]] + bytes([content[one[0]] ^ one[1]]) + content[one[0] + 1 :]
            )
        ),
        st.tuples(places, st.sampled_from(TYPICAL)).map(
            lambda one: content[: one[0]] + one[1] + content[one[0] :]
        ),
    )


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("valid")
    texts, labels = zip(*ROWS, strict=True)
    Dataset.from_dict({"text": texts, "label": labels}).to_parquet(folder / "rows.parquet")
    csv = "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in ROWS)
    records = [{"text": text, "label": label} for text, label in ROWS]
    spans = {"text": "Ann went", "entities": [{"start": 0, "end": 3, "label": "PER"}]}
    return {
        "rows.csv": csv.encode(),
        "rows.csv.gz": gzip.compress(csv.encode(), mtime=0),
        "rows.jsonl": "".join(f"{json.dumps(one)}\n" for one in records).encode(),
        "rows.json": json.dumps(records).encode(),
        "rows.parquet": (folder / "rows.parquet").read_bytes(),
        "rows.conll": TAGGED.encode(),
        "spans.jsonl": json.dumps(spans).encode(),
    }


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


NAMES = (
    *("rows.csv", "rows.csv.gz", "rows.jsonl", "rows.json", "rows.parquet", "rows.conll"),
    "spans.jsonl",
)


@pytest.mark.parametrize("name", NAMES)
def test_data(name, contents, tmp_path):
    task = WORDS if name in ("rows.conll", "spans.jsonl") else SENTENCES
    path = tmp_path / name

    @QUIET
    @given(mutations(contents[name]))
    def mutated(content):
        path.write_bytes(content)
        assert outcome(lambda: load_domain(path, task=task).splits)
        assert listing(tmp_path) == [name]

    mutated()


SPANS = [{"start": 0, "end": 3, "text": "Ann", "labels": ["PER"]}]
ANNOTATED = {
    "Label Studio": {
        "data": {"text": "Ann went"},
        "annotations": [
            {
                "was_cancelled": False,
                "result": [
                    {"type": "labels", "from_name": "ner", "value": SPANS[0]},
                    {"type": "choices", "from_name": "kind", "value": {"choices": ["good"]}},
                    {"type": "rating", "from_name": "stars", "value": {"rating": 4}},
                ],
            }
        ],
    },
    "doccano": {"text": "Ann went", "label": [[0, 3, "PER"]]},
    "Prodigy": {"text": "Ann went", "spans": SPANS, "answer": "accept"},
    "spaCy": ["Ann went", {"entities": [[0, 3, "PER"]]}],
    "words": {"tokens": ["Ann", "went"], "tags": ["B-PER", "O"]},
}


@pytest.mark.parametrize("task", [SENTENCES, WORDS])
@pytest.mark.parametrize("tool", ANNOTATED)
def test_annotations(tool, task, tmp_path):
    path = tmp_path / "rows.jsonl"
    whole = json.dumps(ANNOTATED[tool])
    for one in changes(ANNOTATED[tool], 60):
        path.write_text(f"{whole}\n{json.dumps(one)}\n", encoding="utf-8")
        assert outcome(lambda: load_domain(path, task=task).splits)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    tiny_model("bert", labels=["negative", "positive"]).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
)
def test_models(name, saved, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    whole, files = (saved / name).read_bytes(), listing(folder)

    @settings(QUIET, max_examples=15)
    @given(mutations(whole))
    def mutated(content):
        (folder / name).write_bytes(content)
        assert outcome(lambda: load_predictor(folder, device="cpu").predict(["good film"]))
        assert listing(folder) == files

    mutated()


RECIPE = (
    b"model: builtin:minilm-l6\nsource: a.csv\ntarget: b.csv\nlearning_rate: 2e-5\nmax_steps: 10\n"
)


@QUIET
@given(mutations(RECIPE))
def test_recipes(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "recipe.yaml"
    path.write_bytes(content)
    assert outcome(lambda: load_recipe(path))


@QUIET
@given(mutations(b'{"format": 2, "source_only": null, "adapted": {}}'))
def test_results(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp() / "run"
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_bytes(content)
    assert not verify_run(folder)["complete"]
