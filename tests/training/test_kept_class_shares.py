"""`keep_class_shares`: the adapted model says each class of the target as often as its twin does."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.architectures import output_layer
from nlp_adapt.reporting.results import share_sentences
from nlp_adapt.training import run as run_module
from tests.helpers.interruptions import InterruptedRunError, crash_after, weights
from tests.helpers.several_domains import TAG_NAMES, TAGS, several_trainer, tag_domain
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.trainers import NAMES, toy_domain, trainer_for

OPTIONS = {"method": "auto", "data_doctor": "off", "validation_fraction": 0.3}


def shares(results, name):
    return results[name]["evidence"]["predicted"]


def test_auto_keeps_its_twins_shares_and_says_so(tmp_path):
    results = trainer_for(tmp_path, **OPTIONS, learning_rate=5e-3, max_steps=12).train()
    assert shares(results, "adapted") == pytest.approx(shares(results, "source_only"), abs=0.03)
    said = results["adapted"]["class_shares"]
    assert said["kept"] == pytest.approx(shares(results, "source_only"), abs=1e-4)
    assert said["predicted_before"].keys() == said["bias"].keys() == said["kept"].keys()
    assert "kept" not in (results["source_only"]["class_shares"] or {})


def test_the_bar_of_scoring_ends_at_its_last_row(tmp_path, monkeypatch):
    bars = []

    @contextmanager
    def bar(label, rows, *, shown):
        bars.append([rows, 0])
        yield lambda read: bars[-1].__setitem__(1, bars[-1][1] + read)

    monkeypatch.setattr(run_module, "rows_bar", bar)
    trainer_for(tmp_path, **OPTIONS, max_steps=3).train()
    assert len(bars) == 2
    assert all(read == rows > 0 for rows, read in bars)


def test_nothing_but_the_last_bias_is_changed_for_it(tmp_path):
    options = {**OPTIONS, "learning_rate": 5e-3, "max_steps": 12}
    trainer_for(tmp_path / "kept", **options).train()
    free = trainer_for(tmp_path / "free", **options, keep_class_shares=False).train()
    kept, changed = weights(tmp_path / "kept"), weights(tmp_path / "free")
    assert [name for name in kept if not torch.equal(kept[name], changed[name])] == [
        "classifier.bias"
    ]
    assert "kept" not in free["adapted"]["class_shares"]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"method": "dann"}, False),
        ({"method": "dann", "keep_class_shares": True}, True),
        ({"compare_source_only": False}, False),
        ({"target_class_shares": {"positive": 0.3}}, False),
        ({"stages": [{"objectives": ["task"]}]}, False),
    ],
)
def test_who_keeps_them(tmp_path, options, kept):
    results = trainer_for(tmp_path, **{**OPTIONS, **options}).train()
    assert ("kept" in results["adapted"]["class_shares"]) == kept


def saved_teacher(folder, domain, task="SequenceClassification", labels=NAMES):
    """A random model that says its first class of about half the units of a domain."""
    model = tiny_model("roberta", task, labels=labels, seed=3).eval()
    words = task == "TokenClassification"
    texts = [" ".join(row) if words else row for row in domain.train["tokens" if words else "text"]]
    batch = tiny_tokenizer()(texts, return_tensors="pt", padding=True)
    with torch.no_grad():
        for parameter in model.classifier.parameters():
            parameter *= 20
        logits = model(**batch).logits
        logits = logits[batch["attention_mask"] == 1] if words else logits
        lead = logits[:, 0] - logits[:, 1:].amax(-1)
        output_layer(model).bias[0] -= lead.median()
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("twin", [True, False])
def test_a_student_keeps_its_teachers_shares_and_says_so(tmp_path, twin):
    teacher = saved_teacher(tmp_path / "teacher", toy_domain("tweets", 50))
    options = {**OPTIONS, "method": "distillation", "teacher": teacher}
    trainer = trainer_for(tmp_path, **options, compare_source_only=twin)
    results = trainer.train()
    answers = trainer.data.target_sample.teacher.argmax(-1)
    said = results["adapted"]["class_shares"]
    assert said["kept_as"] == "teacher"
    wanted = np.bincount(answers, minlength=2) / len(answers)
    assert list(said["kept"].values()) == pytest.approx(wanted, abs=1e-4)
    assert 0 < said["kept"]["positive"] < 1
    assert said["predicted"] == pytest.approx(said["kept"], abs=0.05)
    assert "kept" not in ((results["source_only"] or {}).get("class_shares") or {})
    (sentence,) = share_sentences(results)
    assert "kept as the teacher has them" in sentence


def test_a_teacher_that_is_not_asked_of_the_target_has_no_shares_to_keep(tmp_path):
    options = {**OPTIONS, "method": "distillation", "teacher": "any", "keep_class_shares": True}
    options |= {"options": {"distillation": {"domains": "source"}}}
    with pytest.raises(ConfigError, match="or a teacher, says of the target"):
        trainer_for(tmp_path, **options, compare_source_only=False)
    trainer_for(tmp_path, **options)


def test_a_tagger_keeps_its_teachers_share_of_words_outside(tmp_path):
    target = tag_domain("tweets", 50)
    teacher = saved_teacher(tmp_path / "teacher", target, "TokenClassification", TAG_NAMES)
    options = {"method": "distillation", "teacher": teacher, "keep_class_shares": True}
    trainer = several_trainer(tmp_path, TAGS, few_shot=None, **options)
    said = trainer.train()["adapted"]["class_shares"]
    outside = trainer.task.outside
    wanted = (trainer.data.target_sample.teacher.argmax(-1) == outside).mean()
    assert 0.1 < wanted < 0.9
    assert said["kept"]["O"] == pytest.approx(wanted, abs=1e-4)
    assert said["predicted"]["O"] == pytest.approx(wanted, abs=0.05)


def test_without_a_twin_there_is_nothing_to_keep(tmp_path):
    with pytest.raises(ConfigError, match="leave compare_source_only on"):
        trainer_for(tmp_path, **OPTIONS, keep_class_shares=True, compare_source_only=False)


def test_a_resumed_run_keeps_the_same_shares(tmp_path, monkeypatch):
    options = {**OPTIONS, "save_steps": 1, "max_steps": 4}
    trainer_for(tmp_path / "whole", **options).train()
    with monkeypatch.context() as patch:
        crash_after(patch, 4)
        with pytest.raises(InterruptedRunError):
            trainer_for(tmp_path / "parts", **options).train()
    trainer_for(tmp_path / "parts", **options).train(resume_from_checkpoint=True)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_tagger_keeps_the_share_of_words_outside_entities(tmp_path):
    options = {**OPTIONS, "learning_rate": 5e-3, "max_steps": 12}
    options["compare_source_only"] = True
    results = several_trainer(tmp_path, TAGS, few_shot=None, **options).train()
    assert shares(results, "adapted")["O"] == pytest.approx(
        shares(results, "source_only")["O"], abs=0.02
    )
    bias = results["adapted"]["class_shares"]["bias"]
    assert not np.any([value for name, value in bias.items() if name != "O"])
