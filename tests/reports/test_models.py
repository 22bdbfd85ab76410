"""Models and folders that users brought to other tools, by the public report that tells of them."""

import json

import pytest
import torch

from nlp_adapt.errors import ModelError
from nlp_adapt.modeling.pretrained import load_task_model
from nlp_adapt.prediction.opening import load_predictor
from tests.helpers.brought import TEXTS, saved, with_head
from tests.helpers.tiny_encoders import tiny_tokenizer
from tests.helpers.tiny_taggers import tagger

AUTO = "AutoModelForSequenceClassification"
NAMES = ("positive", "negative")
DOMAINS = ("--source", "reviews.csv", "--target", "tweets.csv")
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def predicted(model):
    return [row["label"] for row in load_predictor(model).predict(TEXTS)]


@pytest.fixture(scope="module")
def sure():
    """A model that is sure of itself, and its labels on some texts."""
    model = with_head(NAMES)
    rows = tiny_tokenizer()(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        model.classifier.bias.sub_(model(**rows).logits.median(0).values)  # so that it gives both
        logits = model(**rows).logits
    labels = [NAMES[i] for i in logits.argmax(-1)]
    return model, labels


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(
            {"label2id": {"positive": "0", "negative": "1"}}, id="huggingface/optimum#278"
        ),
        pytest.param({"_num_labels": 5}, id="huggingface/transformers#3945"),
        pytest.param({"label2id": {}}, id="no-label2id"),
        pytest.param({"num_labels": 2, "dtype": "bfloat16"}, id="huggingface/transformers#3967"),
    ],
)
def test_a_head_is_read_by_its_names(sure, tmp_path, written):
    model, labels = sure
    assert len(set(labels)) == 2
    assert predicted(saved(model, tmp_path / "model", **written)) == labels


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        pytest.param({"id2label": list(NAMES)}, "id2label", id="huggingface/transformers#20773"),
        pytest.param(
            {"id2label": {"1": "a", "2": "b"}}, "id2label", id="labels-from-one"
        ),
        pytest.param({"problem_type": "regression"}, "regression", id="huggingface/transformers#33973"),
        pytest.param(
            {"problem_type": "multi_label_classification"},
            "multi-label",
            id="huggingface/transformers#38219",
        ),
        pytest.param(
            {"id2label": {"0": "a", "1": "b", "2": "c"}},
            "lack a head",
            id="huggingface/transformers#10449",
        ),
        pytest.param({"architectures": ["BertModel"]}, "no.* classification", id="huggingface/transformers#2770"),
    ],
)  # fmt: skip
def test_a_head_that_cannot_be_read_is_refused(sure, tmp_path, written, sentence):
    with pytest.raises(ModelError, match=sentence):
        predicted(saved(sure[0], tmp_path / "model", **written))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        pytest.param("model.safetensors", POINTER, id="huggingface/transformers#27923"),
        pytest.param("tokenizer.json", POINTER, id="turboderp/exllama#242"),
        pytest.param("config.json", "<html>404</html>", id="page-as-config"),
    ],
)
def test_a_file_that_was_not_fetched_is_named(sure, tmp_path, file, content):
    folder = saved(sure[0], tmp_path / "model")
    (folder / file).write_text(content)
    with pytest.raises(ModelError, match=str(folder)):
        predicted(folder)


def test_a_folder_of_another_librarys_adapters_is_refused(tmp_path):
    # adapter-hub/adapters#17
    told = {"config": {"reduction_factor": 16}, "model_name": "roberta-base", "name": "sst"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(told))
    (tmp_path / "pytorch_adapter.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=str(tmp_path)):
        predicted(tmp_path)


def test_a_new_head_says_what_would_have_kept_the_old_one(sure, tmp_path, caplog):
    folder = saved(sure[0], tmp_path / "model")
    load_task_model(str(folder), AUTO, ["neg", "pos"], new_head=True)
    assert "(with label_map: {neg: negative, pos: positive} it keeps its own)" in caplog.text
    caplog.clear()
    load_task_model(str(folder), AUTO, ["sports", "politics"], new_head=True)
    assert "gets a new head." in caplog.text


@pytest.mark.parametrize(
    ("lines", "proposal"),
    [
        pytest.param(
            "jo B-person\nis O\n\nrome B-GPE\n",
            "label_map: {GPE: LOC, person: PER}",
            id="other-names",
        ),
        pytest.param("jo B-PER\nis O\n", None, id="ThilinaRajapakse/simpletransformers#667"),
    ],
)
def test_types_of_other_names_are_scored_with_a_map(tmp_path, run_cli, lines, proposal):
    model, tokenizer = tagger("bert")
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "model")
    (tmp_path / "a.conll").write_text(lines)
    code, _, err = run_cli("evaluate", tmp_path / "model", "--data", tmp_path / "a.conll")
    assert code == (2 if proposal else 0), err
    assert (proposal or "") in err


def test_scores_stand_under_their_labels_and_are_json(sure, tmp_path, run_cli):
    # huggingface/setfit#462, huggingface/api-inference-community#337
    model, labels = sure
    folder = saved(model, tmp_path / "model")
    (tmp_path / "in.csv").write_text("text\n" + "\n".join(TEXTS) + "\n")
    out = tmp_path / "out.jsonl"
    code, _, err = run_cli(
        *("predict", folder, tmp_path / "in.csv", "--out", out, "--all_scores"),
        *("--precision", "fp32"),  # the texts are too alike for rounding
    )
    assert code == 0, err
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["label"] for row in rows] == labels
    for row in rows:
        scores = {name: row[f"score_{name}"] for name in NAMES}
        assert max(scores, key=scores.get) == row["label"]


def test_words_of_any_characters_come_back(tmp_path, run_cli):
    # ThilinaRajapakse/simpletransformers#719, UniversalDependencies/docs#1010
    model, tokenizer = tagger("roberta")
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "model")
    text = "O'Brien’s it's \u200b don't 👩‍👧"
    (tmp_path / "in.jsonl").write_text(json.dumps({"text": text}))
    out = tmp_path / "out.jsonl"
    code, _, err = run_cli("predict", tmp_path / "model", tmp_path / "in.jsonl", "--out", out)
    assert code == 0, err
    assert json.loads(out.read_text())["text"] == text


def test_a_recipe_of_init_is_no_run(tmp_path, run_cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("reviews", "tweets"):
        rows = "".join(f"{name} {i},{'pos' if i % 2 else 'neg'}\n" for i in range(8))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}")
    code, _, err = run_cli("init", *DOMAINS, "--model", "nobody/none")
    assert code == 0, err
    before = (tmp_path / "recipe.yaml").read_text()
    assert "holds no run" in run_cli("verify", ".")[2]
    code, _, err = run_cli("train", "--config", "recipe.yaml", "--output-dir", ".")
    assert code == 2
    assert "holds recipe.yaml, and the run would write its own" in err
    assert (tmp_path / "recipe.yaml").read_text() == before
