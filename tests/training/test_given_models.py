"""Models given as objects: what their caller froze, and adapters that their caller put in."""

import json

import peft
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForSequenceClassification, pipeline

from nlp_adapt.errors import ModelError
from nlp_adapt.prediction.opening import load_predictor
from tests.helpers.adapters import saved_base
from tests.helpers.tiny_encoders import tiny_model
from tests.helpers.trainers import trainer_for

TEXTS = ["word31 word1 word22", "word52 word0 word23 word7"]
FAST = {"learning_rate": 0.05, "compare_source_only": False, "max_steps": 4}


def changed(trainer, before):
    after = trainer.model.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def scores(answers):
    return [one["scores"] for one in answers]


def wrapped(model, **options):
    torch.manual_seed(3)
    options = {"task_type": "SEQ_CLS", "target_modules": ["query", "value"], **options}
    return peft.get_peft_model(model, peft.LoraConfig(**options))


@pytest.mark.parametrize("options", [{}, {"gradual_unfreezing": True}, {"freeze": "embeddings"}])
def test_what_the_caller_froze_stays_as_it_is(tmp_path, options):
    model = tiny_model()
    model.bert.encoder.layer[1].requires_grad_(False)
    model.classifier.bias.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = trainer_for(tmp_path, model=model, **FAST, **options)
    trainer.train()
    moved = changed(trainer, before)
    assert "classifier.weight" in moved
    assert any(name.startswith("bert.encoder.layer.0") for name in moved)
    assert "classifier.bias" not in moved
    assert not any(name.startswith("bert.encoder.layer.1.") for name in moved)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("lora", [False, True])
def test_half_precision_weights_are_trained_in_full(tmp_path, dtype, lora):
    """transformers loads a checkpoint in the precision that it was saved in."""
    given = tiny_model().to(dtype)
    trainer = trainer_for(tmp_path, model=given, compare_source_only=False, max_steps=1, lora=lora)
    trainer.train()
    assert {one.dtype for one in trainer.model.parameters()} == {torch.float32}
    written = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert written["dtype"] == "float32"
    assert given.dtype == dtype


def test_a_model_that_is_frozen_as_a_whole_is_refused(tmp_path):
    trainer = trainer_for(tmp_path, model=tiny_model().requires_grad_(False), **FAST)
    with pytest.raises(ModelError, match="every parameter of the given model is frozen"):
        trainer.train()


@pytest.mark.parametrize("options", [{}, {"task_type": None}, {"modules_to_save": ["classifier"]}])
@pytest.mark.parametrize("named", [True, False])
def test_a_peft_model_of_the_caller_is_opened_again(tmp_path, named, options):
    base = saved_base(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(base) if named else tiny_model()
    trainer = trainer_for(tmp_path, model=wrapped(model, **options), **FAST)
    trainer.train()
    folder = tmp_path / "run" / "model"
    wanted = scores(trainer.predict(TEXTS))
    found = scores(load_predictor(tmp_path / "run").predict(TEXTS))
    for one, two in zip(found, wanted, strict=True):
        assert one == pytest.approx(two, abs=1e-5)
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == ("peft" if named else "transformers")
    assert card.data.base_model is None  # no name that the Hub knows
    if named:
        saved = json.loads((folder / "adapter_config.json").read_text())
        assert saved["base_model_name_or_path"] == str(base)
        code = card.content.split("```python\n")[1].split("```")[0]
        code = code.replace("path/or/hub-id", str(folder)).replace('"base"', repr(str(base)))
        scope = {}
        exec(code, scope)
        read = scope["model"]
    else:
        read = pipeline("text-classification", str(folder))
    for answer, one in zip(read(TEXTS, top_k=None), wanted, strict=True):
        assert {each["label"]: each["score"] for each in answer} == pytest.approx(one, abs=1e-5)


def test_adapters_on_weights_that_no_name_leads_to_are_merged(tmp_path):
    base = saved_base(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(base)
    with torch.no_grad():
        model.bert.encoder.layer[0].output.dense.bias.add_(0.5)  # trained on in memory
    trainer = trainer_for(tmp_path, model=model, lora=True, **FAST)
    trainer.train()
    assert not (tmp_path / "run" / "model" / "adapter_config.json").exists()
    assert ModelCard.load(tmp_path / "run" / "model" / "README.md").data.library_name != "peft"
    read = pipeline("text-classification", str(tmp_path / "run" / "model"), top_k=None)
    for answer, one in zip(read(TEXTS), scores(trainer.predict(TEXTS)), strict=True):
        assert {each["label"]: each["score"] for each in answer} == pytest.approx(one, abs=1e-5)


def test_a_card_names_no_class_as_the_base_model(tmp_path):
    trainer_for(tmp_path, max_steps=1, compare_source_only=False).train()
    card = ModelCard.load(tmp_path / "run" / "model" / "README.md")
    assert card.data.base_model is None
    assert "It started from BertForSequenceClassification given as an object." in card.content


def test_adapters_of_other_kinds_are_refused(tmp_path):
    other = peft.get_peft_model(
        tiny_model(), peft.LoHaConfig(task_type="SEQ_CLS", target_modules=["query"])
    )
    two = wrapped(tiny_model())
    two.add_adapter("second", peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query"]))
    prompt = peft.get_peft_model(
        tiny_model(), peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3)
    )
    for model, kinds in ((other, "LOHA"), (two, "LORA, LORA"), (prompt, "PROMPT_TUNING")):
        with pytest.raises(ModelError, match=f"the PEFT model holds {kinds}, but can be trained"):
            trainer_for(tmp_path, model=model, **FAST)


def test_adapters_opened_for_reading_alone_are_not_trained_by_surprise(tmp_path):
    base = saved_base(tmp_path)
    plain = AutoModelForSequenceClassification.from_pretrained(base)
    wrapped(plain).save_pretrained(tmp_path / "adapters")
    plain = AutoModelForSequenceClassification.from_pretrained(base)
    model = peft.PeftModel.from_pretrained(plain, str(tmp_path / "adapters"))
    with pytest.raises(ModelError, match="is_trainable=True"):
        trainer_for(tmp_path, model=model, **FAST).train()
