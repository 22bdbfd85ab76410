"""Adapters train with every method, and plain PEFT and plain transformers open what is saved."""

import importlib.util
import json

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.methods import METHODS
from nlp_adapt.modeling.freezing import freeze
from nlp_adapt.modeling.lora import add_adapters, merged, save_task_model
from nlp_adapt.modeling.pretrained import load_task_model
from nlp_adapt.modeling.units import FeatureTap
from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.adapters import INPUTS, logits, lora_trainer, saved_base, stirred
from tests.helpers.interruptions import InterruptedRunError, crash_after
from tests.helpers.tiny_encoders import ARCHITECTURES, tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain, trainer_for

NAMES = ["negative", "positive"]


def assert_opens_everywhere(model, tmp_path, task, labels):
    """The adapter folder in plain PEFT and here, the merged one in plain transformers."""
    wanted = logits(model)
    auto = getattr(transformers, f"AutoModelFor{task}")
    save_task_model(model, tmp_path / "adapter")
    base = auto.from_pretrained(tmp_path / "base", num_labels=labels)
    assert not torch.allclose(logits(base), wanted, atol=1e-2)
    opened = peft.PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    torch.testing.assert_close(logits(opened), wanted, atol=1e-5, rtol=0)
    names = list(model.config.id2label.values())
    ours = load_task_model(str(tmp_path / "adapter"), f"AutoModelFor{task}", names)
    torch.testing.assert_close(logits(ours), wanted, atol=1e-5, rtol=0)
    save_task_model(opened, tmp_path / "unloaded", merge=True)
    torch.testing.assert_close(
        logits(auto.from_pretrained(tmp_path / "unloaded")), wanted, atol=1e-5, rtol=0
    )
    save_task_model(model, tmp_path / "merged", merge=True)
    torch.testing.assert_close(
        logits(auto.from_pretrained(tmp_path / "merged")), wanted, atol=1e-5, rtol=0
    )
    torch.testing.assert_close(logits(model), wanted, atol=0, rtol=0)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("task", ["SequenceClassification", "TokenClassification"])
def test_both_outputs_give_the_same_logits(tmp_path, architecture, task):
    model = tiny_model(architecture, task, labels=3)
    model.save_pretrained(tmp_path / "base")
    model = getattr(transformers, f"AutoModelFor{task}").from_pretrained(tmp_path / "base")
    assert_opens_everywhere(stirred(model), tmp_path, task, 3)


@pytest.mark.parametrize("kind", ["rslora", "dora", "ia3"])
@pytest.mark.parametrize("architecture", ["bert", "modernbert", "distilbert", "mpnet"])
def test_every_kind_of_adapter(tmp_path, kind, architecture):
    tiny_model(architecture).save_pretrained(tmp_path / "base")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    stirred(model, kind=kind, r=3, alpha=5.0, targets="attention")
    assert_opens_everywhere(model, tmp_path, "SequenceClassification", 2)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    if kind == "ia3":
        assert config["peft_type"] == "IA3"
    else:
        assert (config["r"], config["lora_alpha"]) == (3, 5.0)
        assert (config["use_rslora"], config["use_dora"]) == (kind == "rslora", kind == "dora")


def test_all_linear_maps_of_the_layers_and_nothing_else_are_adapted():
    model = add_adapters(tiny_model("bert"))
    names = {n.rsplit(".lora_A", 1)[0] for n, _ in model.named_parameters() if "lora_A" in n}
    inside = ["attention.self.query", "attention.self.key", "attention.self.value",
              "attention.output.dense", "intermediate.dense", "output.dense"]  # fmt: skip
    assert names == {f"bert.encoder.layer.{i}.{name}" for i in range(2) for name in inside}
    plain = {n for n, p in model.named_parameters() if p.requires_grad and "lora_" not in n}
    assert plain == {"bert.pooler.dense.weight", "bert.pooler.dense.bias",
                     "classifier.weight", "classifier.bias"}  # fmt: skip


def test_freezing_layers_freezes_their_adapters_too():
    model = add_adapters(tiny_model("bert"))
    freeze(model, 1)
    trains = {n for n, p in model.named_parameters() if p.requires_grad}
    assert not [name for name in trains if "layer.0." in name]
    assert [name for name in trains if "layer.1." in name and "lora_" in name]
    assert not [name for name in trains if "layer.1." in name and "lora_" not in name]
    assert "classifier.weight" in trains


def test_unknown_modules_and_contradictions_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"lora_targets: .*nonesuch"):
        add_adapters(tiny_model(), targets=["nonesuch"])
    with pytest.raises(ConfigError, match="merge_lora needs lora"):
        AdaptationConfig(merge_lora=True)
    with pytest.raises(ConfigError, match="freeze: all leaves nothing to lora"):
        AdaptationConfig(lora=True, freeze="all")
    with pytest.raises(ConfigError, match="lora_r is 0"):
        AdaptationConfig(lora_r=0)


@pytest.mark.parametrize("merge", [False, True])
def test_a_run_saves_what_it_trained(tmp_path, merge):
    base = saved_base(tmp_path)
    trainer = lora_trainer(
        tmp_path,
        base,
        merge_lora=merge,
        method="dann",
        warmup_steps=0,
        learning_rate=1e-2,
        fall_back=False,
    )
    trainer.train()
    before = tiny_model().state_dict()
    for name, value in trainer.model.state_dict().items():
        plain = name.replace(".base_layer", "")
        if "lora_" not in name and "classifier" not in name and "pooler" not in name:
            assert torch.equal(value, before[plain]), name
    wanted = logits(trainer.model)
    for folder, twin in ((tmp_path / "run", False), (tmp_path / "run" / "source_only", True)):
        assert (folder / "model" / "adapter_config.json").is_file() is not merge
        predictor = load_predictor(folder)
        assert predictor.label_names == ("negative", "positive")
        same = torch.allclose(logits(predictor.task_model), wanted, atol=1e-5)
        assert same is not twin
    if not merge:
        opened = peft.PeftModel.from_pretrained(
            transformers.AutoModelForSequenceClassification.from_pretrained(base),
            str(tmp_path / "run" / "model"),
        )
        torch.testing.assert_close(logits(opened), wanted, atol=1e-5, rtol=0)


TRAINED = sorted(
    name
    for name, method in METHODS.items()
    if not any(stage.fit for stage in method.stages(AdaptationConfig()))
)


@pytest.mark.parametrize("method", TRAINED)
def test_every_method_trains_adapters(tmp_path, method):
    teacher = None
    if method == "distillation":
        teacher = str(saved_base(tmp_path))
    trainer = trainer_for(
        tmp_path, method=method, lora=True, compare_source_only=False, teacher=teacher
    )
    trainer.train()
    state = trainer.model.state_dict()
    assert any(value.any() for name, value in state.items() if "lora_B" in name)
    assert torch.equal(
        state["bert.embeddings.word_embeddings.weight"],
        tiny_model().state_dict()["bert.embeddings.word_embeddings.weight"],
    )
    (tmp_path / "plain").mkdir()
    save_task_model(trainer.model, tmp_path / "plain", merge=True)
    assert not [n for n in load_file(tmp_path / "plain" / "model.safetensors") if "lora" in n]


def test_resumed_adapters_end_with_the_same_bits(tmp_path, monkeypatch):
    options = {"max_steps": 5, "save_steps": 2, "compare_source_only": False}
    base = saved_base(tmp_path)
    lora_trainer(tmp_path / "whole", base, **options).train()
    with monkeypatch.context() as patch:
        crash_after(patch, 3)
        with pytest.raises(InterruptedRunError):
            lora_trainer(tmp_path / "broken", base, **options).train()
    lora_trainer(tmp_path / "broken", base, **options, resume=True).train()
    file = "run/model/adapter_model.safetensors"
    whole, broken = load_file(tmp_path / "whole" / file), load_file(tmp_path / "broken" / file)
    assert whole.keys() == broken.keys()
    assert all(torch.equal(value, broken[name]) for name, value in whole.items())


def test_a_model_that_the_caller_wrapped_with_peft(tmp_path):
    wrapped = peft.get_peft_model(
        tiny_model("roberta"), peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query"])
    )
    tap = FeatureTap(wrapped)
    result = wrapped.eval()(**INPUTS).logits
    torch.testing.assert_close(tap.layer(tap.take(INPUTS)), result)
    trainer = AdaptationTrainer(
        wrapped,
        AdaptationConfig(output_dir=str(tmp_path / "run"), precision="fp32", max_steps=2,
                         disable_tqdm=True, compare_source_only=False),
        toy_domain("a", 30), toy_domain("b", 50), processing_class=tiny_tokenizer(),
    )  # fmt: skip
    trainer.train()
    before = wrapped.get_base_model().state_dict()
    changed = [
        name
        for name, value in trainer.model.state_dict().items()
        if name in before and not torch.equal(value, before[name])
    ]
    assert any("lora_B" in name for name in changed)
    assert all("lora_" in name or "classifier" in name for name in changed)


def test_merging_leaves_no_trace_of_adapters():
    model = stirred(tiny_model())
    plain = merged(model)
    assert plain.state_dict().keys() == tiny_model().state_dict().keys()
    assert all(parameter.requires_grad for parameter in plain.parameters())


@pytest.mark.parametrize("damage", ["json", "base", "weights"])
def test_a_damaged_adapter_folder_is_named(tmp_path, damage):
    base = saved_base(tmp_path)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base)
    folder = tmp_path / "adapter"
    save_task_model(add_adapters(model), folder)
    config = folder / "adapter_config.json"
    if damage == "json":
        config.write_text("{")
    elif damage == "base":
        values = json.loads(config.read_text())
        config.write_text(json.dumps({**values, "base_model_name_or_path": None}))
    else:
        file = folder / "adapter_model.safetensors"
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ModelError, match="adapter"):
        load_predictor(folder)


def test_taggers_train_adapters_with_several_objectives(tmp_path):
    texts = [[f"word{i % 9}", f"word{i % 5 + 20}"] for i in range(16)]
    tags = [[i % 3, (i + 1) % 3] for i in range(16)]
    rows = make_dataset(
        "token-classification", texts, [f"a:{i}" for i in range(16)], tags, ("O", "B-X", "I-X")
    )
    source = Domain("a", "token-classification", train=rows, test=rows)
    target = Domain("b", "token-classification", unlabelled=rows.remove_columns("labels"))
    base = saved_base(tmp_path, "TokenClassification")
    for number, method in enumerate(("cdan", "self_training", "udalm", "vat")):
        config = AdaptationConfig(
            output_dir=str(tmp_path / str(number)), precision="fp32", max_steps=2, lora=True,
            task="token-classification", method=method, compare_source_only=False,
            per_device_train_batch_size=4, disable_tqdm=True,
        )  # fmt: skip
        trainer = AdaptationTrainer(str(base), config, source, target)
        trainer.train()
        opened = load_predictor(tmp_path / str(number))
        wanted = logits(trainer.model)
        torch.testing.assert_close(logits(opened.task_model), wanted, atol=1e-5, rtol=0)


def test_peft_switches_between_the_adapters_of_several_domains(tmp_path):
    tiny_model("bert").save_pretrained(tmp_path / "base")
    auto = transformers.AutoModelForSequenceClassification
    alone = {}
    for number, domain in enumerate(("tweets", "film")):
        model = stirred(auto.from_pretrained(tmp_path / "base", num_labels=2))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.mul_(1 + number)
        save_task_model(model, tmp_path / domain)
        alone[domain] = logits(load_task_model(str(tmp_path / domain), auto.__name__, NAMES))
    base = auto.from_pretrained(tmp_path / "base", num_labels=2)
    model = peft.PeftModel.from_pretrained(base, tmp_path / "tweets", adapter_name="tweets")
    model.load_adapter(tmp_path / "film", adapter_name="film")
    for domain in ("film", "tweets"):
        model.set_adapter(domain)
        torch.testing.assert_close(logits(model), alone[domain], atol=1e-5, rtol=0)
    assert not torch.allclose(alone["film"], alone["tweets"], atol=1e-2)


def test_a_quantised_base_is_refused(tmp_path):
    """As bitsandbytes leaves it, where it is installed; else what transformers says of such a model."""
    options = transformers.BitsAndBytesConfig(load_in_8bit=True)
    if importlib.util.find_spec("bitsandbytes"):
        tiny_model("bert").save_pretrained(tmp_path)
        auto = transformers.AutoModelForSequenceClassification
        model = auto.from_pretrained(tmp_path, quantization_config=options, device_map="cpu")
    else:
        model = tiny_model("bert")
        model.config.quantization_config = options
    args = AdaptationConfig(output_dir=str(tmp_path / "run"), lora=True, data_doctor="off")
    domains = toy_domain("reviews", 30), toy_domain("tweets", 30)
    with pytest.raises(ModelError, match="the model is quantised"):
        AdaptationTrainer(model, args, *domains, processing_class=tiny_tokenizer())
