"""The methods benchmark on toy domains: what is trained, and what a line of results holds."""

import json
import sys
from argparse import Namespace

import pytest

from tests.helpers.scripts import scripts_on_path
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    with scripts_on_path(monkeypatch):
        yield


def test_a_model_that_never_sees_the_target_is_trained_once():
    from benchmark_methods import jobs

    pairs = [("a", "b"), ("a", "c"), ("b", "c")]

    def trained(*methods, settings=()):
        found = jobs(list(methods), 1, pairs, settings)
        return [[(key["source"], key["target"]) for key in keys] for keys in found]

    assert trained("source_only") == [pairs[:2], pairs[2:]]
    assert trained("source_only:learning_rate=1e-4") == [pairs[:2], pairs[2:]]
    assert trained("target_trained") == [pairs[:1], pairs[1:]]
    alone = [[pair] for pair in pairs]
    assert trained("mcc") == alone
    assert trained("source_only:augment=domain_terms") == alone
    assert trained("source_only", settings=["augment=domain_terms"]) == alone


def test_a_method_and_its_twin_are_one_run():
    from benchmark_methods import jobs

    (keys,) = jobs(["auto", "twin_of_auto"], 1, [("a", "b")])
    assert [key["method"] for key in keys] == ["auto", "twin_of_auto"]


def test_a_method_trains_as_its_recipe_says():
    from benchmark_methods import ROOT, SUITES, recipe_of

    from nlp_adapt import load_recipe

    own = load_recipe(ROOT / "recipes" / "ner" / "dann.yaml")
    recipe = recipe_of(SUITES["wnut"], "dann", {"seed": 3})
    assert recipe.options == own.options != {}
    assert (recipe.lambda_max, recipe.task) == (own.lambda_max, "token-classification")
    assert (recipe.max_length, recipe.seed) == (SUITES["wnut"]["recipe"]["max_length"], 3)


def check_what_is_kept(folder, lines):
    """Predictions are those that the table scores, of each model and of its twin."""
    from benchmark_validators import models, run_of
    from kept_predictions import kept, name_of

    assert {name_of(run) for run, _ in kept(folder)} == {name_of(line) for line in lines}
    args = Namespace(keep=folder, out=folder / "validators.md")
    found = {name_of(about): (run_of(about, values), values) for about, values in models(args)}
    for line in lines:
        run, values = found[name_of(line)]
        assert run["measure"] == pytest.approx(line["scores"]["macro_f1"], abs=1e-6)
        # Told shares put the decision between two rows that are alike but for float16's rounding.
        if line["method"] != "shares_told":
            assert run["accuracy"] == pytest.approx(line["scores"]["accuracy"], abs=1e-6)
        assert run["scores"]["source_risk"] == pytest.approx(line["label_free"]["source_risk"])
        assert len(values["target_features"]) == len(values["target_logits"]) == run["rows"]


def measured(folder, monkeypatch, *methods, **options):
    """The lines of methods on two pairs of toy domains with a tiny encoder."""
    import benchmark_methods

    encoder = folder / "encoder"
    tiny_model("bert").save_pretrained(encoder)
    tiny_tokenizer().save_pretrained(encoder)
    first = {"a": 30, "b": 50, "c": 40}
    monkeypatch.setattr(
        benchmark_methods, "read_domain", lambda _, __, name: toy_domain(name, first[name])
    )
    words = ["benchmark_methods.py", "--data", str(folder), "--encoder", str(encoder)]
    words += ["--methods", *methods, "--pairs", "a>b", "a>c", "--seeds", "1"]
    words += ["--out", str(folder / "page.md"), "--set", "max_steps=2", "precision=fp32"]
    words += [f"--{name}={value}" for name, value in options.items()]
    monkeypatch.setattr(sys, "argv", words)
    benchmark_methods.main()
    return [json.loads(line) for line in (folder / "page.runs.jsonl").read_text().splitlines()]


def test_toy_domains_go_through(tmp_path, monkeypatch):
    import benchmark_methods

    methods = ["source_only", "auto", "twin_of_auto", "shares_told"]
    lines = measured(tmp_path, monkeypatch, *methods, keep=tmp_path / "kept")
    assert [line["method"] for line in lines] == [
        *("source_only", "source_only"),
        *("auto", "twin_of_auto") * 2,
        *("shares_told", "shares_told"),
    ]
    assert {line["code"] for line in lines} == {benchmark_methods.code_hash()}
    for line in lines:
        expected = {"macro_f1", "macro_precision", "macro_recall", "accuracy", "auc", "oracle"}
        assert line["scores"].keys() == expected
        assert line["scores"]["oracle"]["macro_f1"] >= line["scores"]["macro_f1"] - 1e-9
        assert line["checkpoint"] is None
    page = (tmp_path / "page.md").read_text()
    assert "twin_of_auto, best threshold" in page
    assert "shares_told" in page.split("## Gains")[1].split("## By pair")[0]
    check_what_is_kept(tmp_path / "kept", lines)
    # Nothing is trained twice, and other code is not taken for this.
    monkeypatch.setattr(benchmark_methods, "train_and_score", None)
    benchmark_methods.main()
    monkeypatch.setattr(benchmark_methods, "code_hash", lambda: "other")
    with pytest.raises(TypeError):
        benchmark_methods.main()


def test_a_larger_model_teaches_on_every_target_and_is_trained_once(tmp_path, monkeypatch):
    import distilled

    trained = []

    class Counted(distilled.AdaptationTrainer):
        def train(self, *args):
            trained.append(self.args.num_train_epochs)
            return super().train(*args)

    monkeypatch.setattr(distilled, "AdaptationTrainer", Counted)
    method, folder = f"distilled_from_{tmp_path / 'encoder'}", tmp_path / "teachers"
    lines = measured(tmp_path, monkeypatch, method, teachers=folder, keep=tmp_path / "kept")
    assert [(line["method"], line["target"]) for line in lines] == [(method, "b"), (method, "c")]
    assert trained == [2]
    page = (tmp_path / "page.md").read_text()
    assert "keeps to the class shares that its teacher has" in page
    assert "--teachers FOLDER --out docs/benchmarks/page.md" in page
    teachers = [path.parent for path in folder.glob("*/config.json")]
    assert len(teachers) == 1
    assert ".a.1." in teachers[0].name
    check_what_is_kept(tmp_path / "kept", lines)


def test_a_distilled_model_asks_for_a_folder(tmp_path, monkeypatch):
    from nlp_adapt.errors import ConfigError

    with pytest.raises(ConfigError, match="--teachers"):
        measured(tmp_path, monkeypatch, "distilled_from_mpnet-base")
