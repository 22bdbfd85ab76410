"""Every supported architecture trains a step and exports as a plain model."""

import json
import subprocess
import sys

import pytest
import torch
import transformers

from nlp_adapt.config import DOMAIN_FEATURES, AdaptationConfig
from nlp_adapt.errors import RunError
from nlp_adapt.modeling.units import FeatureTap
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.tiny_encoders import ARCHITECTURES, tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain, trainer_for


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_trains_and_exports(tmp_path, architecture):
    trainer = trainer_for(tmp_path, architecture, compare_source_only=False)
    before = {name: p.detach().clone() for name, p in tiny_model(architecture).named_parameters()}
    results = trainer.train()
    assert results["adapted"]["steps"] == 2
    changed = [n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])]
    assert any("embedding" in name for name in changed)
    assert any("classifier" in name for name in changed)

    folder = tmp_path / "run" / "model"
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    assert plain.config.id2label == {0: "negative", 1: "positive"}
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = ["word1 word30 word5", "word2"]
    inputs = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        logits = plain.eval()(**inputs).logits
        own = trainer.model.eval()(**{key: v.to(trainer.model.device) for key, v in inputs.items()})
    torch.testing.assert_close(logits, own.logits.cpu(), atol=1e-5, rtol=0)
    scores = [one["scores"]["positive"] for one in trainer.predict(texts)]
    torch.testing.assert_close(torch.tensor(scores), logits.softmax(-1)[:, 1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_the_tap_reads_what_the_classifier_reads(architecture):
    model = tiny_model(architecture, labels=3).eval()
    tap = FeatureTap(model)
    batch = {"input_ids": torch.tensor([[2, 9, 8, 3]])}
    logits = model(**batch).logits
    features = tap.take(batch)
    with pytest.raises(RuntimeError, match="since the features"):
        tap.take(batch)
    torch.testing.assert_close(tap.layer(features), logits)


@pytest.mark.parametrize("view", DOMAIN_FEATURES)
def test_each_domain_view_reaches_the_encoder(tmp_path, view):
    trainer = trainer_for(
        tmp_path, domain_features=view, compare_source_only=False, source_warmup=0.0,
        lambda_schedule="constant",
    )  # fmt: skip
    trainer.train()
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").open()]
    assert all(line["dann"] > 0 for line in lines if "dann" in line)


def test_run_folder_holds_what_it_promises(tmp_path):
    trainer = trainer_for(tmp_path)
    results = trainer.train()
    run = tmp_path / "run"
    assert json.loads((run / "results.json").read_text()) == results
    for side in ("source", "target"):
        for name in ("source_only", "adapted"):
            assert len(results[name][side]["confusion_matrix"]) == 2
            assert 0 <= results[name][side]["accuracy"] <= 1
        assert side in results["difference"]
    for name in ("recipe.yaml", "model/README.md", "adaptation/objectives.safetensors"):
        assert (run / name).is_file(), name
    steps = [json.loads(line) for line in (run / "log.jsonl").open()]
    assert [line["step"] for line in steps if "dann" in line] == [1, 2]
    assert {line["model"] for line in steps} == {"source_only", "adapted"}
    assert not (run / "checkpoints").exists()


def test_the_twin_starts_from_the_same_weights_and_sees_the_same_source(tmp_path):
    """With lambda 0 the adversary is a spectator: both models must come out the same."""
    trainer = trainer_for(tmp_path, lambda_max=0.0, max_steps=3, discriminator_dropout=0.0,
                          max_grad_norm=0.0)  # fmt: skip
    trainer.train()
    run = tmp_path / "run"
    load = transformers.AutoModelForSequenceClassification.from_pretrained
    twin, adapted = load(run / "source_only" / "model"), load(run / "model")
    for (name, one), other in zip(twin.named_parameters(), adapted.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4, msg=name)


def test_an_existing_run_is_not_overwritten_by_accident(tmp_path):
    trainer_for(tmp_path, compare_source_only=False).train()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="already holds a run"):
        trainer_for(tmp_path).train()
    trainer_for(tmp_path, compare_source_only=False, overwrite=True).train()
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_target_labels_do_not_reach_training(tmp_path):
    trainer = trainer_for(tmp_path)
    assert (trainer.data.train["target"].labels == -100).all()
    assert (trainer.data.train["source"].labels >= 0).all()


def test_a_wholly_unlabelled_target_trains_without_target_scores(tmp_path):
    args = AdaptationConfig(
        output_dir=str(tmp_path / "run"), precision="fp32", max_steps=1, disable_tqdm=True
    )
    target = toy_domain("notes", 50, labelled=False)
    trainer = AdaptationTrainer(
        tiny_model(), args, toy_domain("reviews", 30), target, processing_class=tiny_tokenizer()
    )
    results = trainer.train()
    assert results["adapted"]["target"] is None
    assert results["adapted"]["source"]["accuracy"] >= 0


@pytest.mark.slow
def test_the_saved_model_opens_where_nlp_adapt_is_not_importable(tmp_path):
    trainer_for(tmp_path, compare_source_only=False).train()
    program = (
        "import sys; sys.modules['nlp_adapt'] = None\n"
        "from transformers import pipeline\n"
        f"print(pipeline('text-classification', {str(tmp_path / 'run' / 'model')!r})('word1')[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "positive" in done.stdout or "negative" in done.stdout


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ({"dann": {}}, {"dann": {}}, True),
        ({"dann": {"hidden_size": 8}}, {"dann": {"hidden_size": 16}}, False),
        ({"self_training": {}}, {"self_training": {"align_prior": "source"}}, False),
    ],
)
def test_an_objective_goes_on_in_the_next_stage_if_its_build_is_the_same(
    tmp_path, monkeypatch, first, second, kept
):
    from nlp_adapt.training import stages

    taken = []

    def recorded(objective, earlier, saved):
        before = {key: value.clone() for key, value in objective.state_dict().items()}
        known = take_over(objective, earlier, saved)
        taken.append(
            any(not torch.equal(before[key], own) for key, own in objective.state_dict().items())
        )
        return known

    take_over = stages.take_over
    monkeypatch.setattr(stages, "take_over", recorded)
    trainer = trainer_for(
        tmp_path, compare_source_only=False, max_steps=4,
        stages=[{"objectives": {"task": {}, **one}} for one in (first, second)],
    )  # fmt: skip
    assert trainer.train()["adapted"]["steps"] == 4
    assert taken[-1] is kept
