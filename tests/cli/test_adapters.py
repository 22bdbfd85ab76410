"""Adapters of two domains in one folder, switched on one base model."""

import csv
import json

import pytest
import torch

from nlp_adapt.adapter_set import AdapterSet
from nlp_adapt.errors import ConfigError, ModelError, RunError
from nlp_adapt.modeling.backbone import load_task_model, load_tokenizer
from nlp_adapt.modeling.lora import add_adapters, save_task_model
from nlp_adapt.prediction.predictor import load_predictor

NAMES = ["negative", "positive"]


def adapter_run(folder, base, seed, labels=NAMES, **options):
    """A run's `model` folder with random adapters and head."""
    torch.manual_seed(seed)
    model = load_task_model(str(base), "AutoModelForSequenceClassification", labels)
    add_adapters(model, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    save_task_model(model, folder / "model")
    load_tokenizer(str(base)).save_pretrained(folder / "model")
    return folder


@pytest.fixture(scope="module")
def adapters(tmp_path_factory, tiny_model_dir):
    folder = tmp_path_factory.mktemp("adapters")
    found = AdapterSet(folder / "set")
    found.add("tweets.v2", adapter_run(folder / "one", tiny_model_dir, 1))
    found.add("reviews", adapter_run(folder / "two", tiny_model_dir, 2))
    return found


def test_switching_equals_loading_each_alone(adapters):
    texts = ["a good film", "bad", "the battery was really poor"]
    first = adapters.predictor("tweets.v2", device="cpu")
    scores = {}
    for domain in ("tweets.v2", "reviews", "tweets.v2"):
        predictor = adapters.predictor(domain)
        assert predictor is first
        scores[domain] = [one["scores"]["positive"] for one in predictor.predict(texts)]
        alone = load_predictor(adapters.folder / domain, device="cpu").predict(texts)
        assert scores[domain] == pytest.approx([one["scores"]["positive"] for one in alone], 1e-4)
    assert scores["tweets.v2"] != pytest.approx(scores["reviews"], abs=1e-3)


def test_the_commands(adapters, tiny_model_dir, tmp_path, run_cli):
    run = adapter_run(tmp_path / "run", tiny_model_dir, 3)
    assert run_cli("adapters", "add", tmp_path / "set", run, "--domain", "tweets")[0] == 0
    code, out, _ = run_cli("adapters", "list", tmp_path / "set", "--json")
    assert code == 0
    (info,) = json.loads(out)
    assert (info["domain"], info["kind"]) == ("tweets", "LORA")
    (tmp_path / "in.txt").write_text("good\nbad\n")
    words = ["adapters", "predict", tmp_path / "set", tmp_path / "in.txt"]
    code, out, _ = run_cli(*words, "--domain", "tweets", "--out", tmp_path / "out.csv")
    assert code == 0, out
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [row["text"] for row in rows] == ["good", "bad"]
    assert {row["label"] for row in rows} <= set(NAMES)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["add", "SET"], "needs RUN"),
        (["add", "SET", "RUN"], "needs --domain"),
        (["predict", "SET", "x.txt", "--domain", "tweet.v2", "--out", "o.csv"],
         "did you mean 'tweets.v2'"),
        (["predict", "SET", "x.txt", "--domain", "reviews"], "needs --out"),
        (["drop", "SET"], "invalid choice"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(adapters, run_cli, words, message):
    words = [adapters.folder if word == "SET" else word for word in words]
    code, _, err = run_cli("adapters", *words)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_what_does_not_belong_is_refused(adapters, tiny_model_dir, tmp_path):
    run = adapter_run(tmp_path / "run", tiny_model_dir, 3)
    with pytest.raises(RunError, match="there already"):
        adapters.add("reviews", run)
    for name in ("../up", "", "a/b", ".hidden"):
        with pytest.raises(ConfigError, match="domain name"):
            adapters.add(name, run)
    with pytest.raises(ModelError, match="holds no adapters"):
        adapters.add("plain", tiny_model_dir)
    other = adapter_run(tmp_path / "labels", tiny_model_dir, 3, labels=["x", "y"])
    with pytest.raises(ModelError, match=r"the labels .x, y instead"):
        adapters.add("labels", other)
    other = adapter_run(tmp_path / "ia3", tiny_model_dir, 3, kind="ia3")
    with pytest.raises(ModelError, match=r"the kind of adapter .IA3"):
        adapters.add("ia3", other)
    assert [info.domain for info in adapters.domains()] == ["reviews", "tweets.v2"]
