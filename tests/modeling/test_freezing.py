"""Freezing, unfreezing and rates on every architecture."""

import pytest
import torch

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.methods import METHODS
from nlp_adapt.modeling.architectures import encoder_layers, encoder_of
from nlp_adapt.modeling.freezing import freeze
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.training.model import AdaptationModel
from nlp_adapt.training.optimization import GradualUnfreezing, parameter_groups
from tests.helpers.interruptions import assert_resumes, weights
from tests.helpers.tiny_encoders import ARCHITECTURES, tiny_model, tiny_tokenizer
from tests.helpers.trainers import trainer_for

SEPARATE = sorted(set(ARCHITECTURES) - {"albert"})
TRAINED = sorted(
    name
    for name, method in METHODS.items()
    if not any(stage.fit for stage in method.stages(AdaptationConfig()))
)


def changed_parameters(trainer, architecture):
    before = dict(tiny_model(architecture).named_parameters())
    return {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])}


@pytest.mark.parametrize("architecture", SEPARATE)
def test_lower_layers_stay_and_upper_ones_train(tmp_path, architecture):
    trainer = trainer_for(
        tmp_path, architecture, compare_source_only=False, freeze=1, weight_decay=0.5
    )
    trainer.train()
    changed = changed_parameters(trainer, architecture)
    model = tiny_model(architecture)
    names = {id(p): n for n, p in model.named_parameters()}
    lower, upper = encoder_layers(model)
    assert not changed & {names[id(p)] for p in lower.parameters()}
    assert changed & {names[id(p)] for p in upper.parameters()}
    assert not [name for name in changed if "embedding" in name]
    assert any("classifier" in name for name in changed)


@pytest.mark.parametrize("method", TRAINED)
def test_every_method_trains_what_is_left_to_it(tmp_path, method):
    """Freezing, unfreezing and falling rates in one run."""
    (tmp_path / "teacher").mkdir()
    tiny_model().save_pretrained(tmp_path / "teacher")
    tiny_tokenizer().save_pretrained(tmp_path / "teacher")
    trainer = trainer_for(
        tmp_path, method=method, freeze=1, gradual_unfreezing=True, layer_decay=0.5, max_steps=6,
        compare_source_only=False, eval_strategy="no", data_doctor="off",
        teacher=str(tmp_path / "teacher") if method == "distillation" else None,
    )  # fmt: skip
    trainer.train()
    changed = changed_parameters(trainer, "bert")
    assert not [name for name in changed if "embedding" in name or "layer.0." in name]
    assert [name for name in changed if "layer.1." in name]
    assert [name for name in changed if "classifier" in name]


@pytest.mark.parametrize("method", ["auto", "cdan", "self_training", "udalm", "vat", "wasserstein"])
def test_heads_train_alone(tmp_path, method):
    trainer = trainer_for(
        tmp_path, method=method, freeze="all", head_learning_rate=1e-2, compare_source_only=False,
        data_doctor="off", max_steps=6,
    )  # fmt: skip
    trainer.train()
    changed = changed_parameters(trainer, "bert")
    assert [name for name in changed if "classifier" in name]
    assert not [name for name in changed if "embeddings" in name or "encoder" in name]


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_what_is_frozen_keeps_no_graph(architecture):
    inputs = {"input_ids": torch.tensor([[2, 9, 8, 3]])}
    model = tiny_model(architecture)
    for what in ("embeddings", "all"):
        frozen = freeze(model, what)
        assert frozen
        assert not any(p.requires_grad for module in frozen for p in module.parameters())
    assert encoder_of(model)(**inputs)[0].grad_fn is None
    assert model(**inputs).logits.grad_fn is not None
    assert freeze(model, "none") == []
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("architecture", SEPARATE)
def test_the_trunk_is_all_that_the_next_layer_reads(architecture):
    """Whatever trains above layer 1 cannot change its input."""
    model = tiny_model(architecture).eval()
    freeze(model, 1)
    seen = []
    encoder_layers(model)[1].register_forward_pre_hook(
        lambda module, args, kwargs: seen.append((*args, *kwargs.values())[0]), with_kwargs=True
    )
    inputs = {"input_ids": torch.tensor([[2, 9, 8, 3]])}
    model(**inputs)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(1.0)
    model(**inputs)
    assert torch.equal(*seen)
    assert not seen[0].requires_grad


@pytest.mark.parametrize(
    ("what", "message"), [("3", "has 2 layers"), (-1, "must be"), ("lower", "must be none")]
)
def test_impossible_parts_are_refused(what, message):
    with pytest.raises(ConfigError, match=message):
        freeze(tiny_model(), AdaptationConfig(freeze=what).freeze)


def test_shared_layers_cannot_be_told_apart(tmp_path):
    for options in ({"freeze": 1}, {"layer_decay": 0.9}, {"gradual_unfreezing": True}):
        with pytest.raises(ConfigError, match="layers of albert share one set of weights"):
            trainer_for(tmp_path, "albert", compare_source_only=False, overwrite=True,
                        **options).train()  # fmt: skip


def test_frozen_parts_run_without_dropout_even_after_an_evaluation():
    model = tiny_model(dropout=0.5)
    adaptation = AdaptationModel(model, UnitReader(model), {}, freeze(model, 1))
    adaptation.train()
    model.train()  # as an evaluation does when it is over
    lower, upper = encoder_layers(model)
    adaptation({}, None)
    assert not any(module.training for module in lower.modules())
    assert not model.bert.embeddings.training
    assert upper.training


def test_rates_fall_by_layer_and_differ_for_heads():
    model = tiny_model()
    config = AdaptationConfig(layer_decay=0.5, learning_rate=0.1, head_learning_rate=0.7)
    groups = parameter_groups(AdaptationModel(model, UnitReader(model), {}), config, 0.1)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(rate) == len(list(model.parameters()))
    lower, upper = encoder_layers(model)
    expected = [(upper, 0.1), (lower, 0.05), (model.bert.embeddings, 0.025),
                (model.bert.pooler, 0.1), (model.classifier, 0.7)]  # fmt: skip
    for module, wanted in expected:
        for parameter in module.parameters():
            assert rate[id(parameter)] == pytest.approx(wanted)


@pytest.mark.parametrize("architecture", SEPARATE)
def test_unfreezing_goes_from_the_top_down(architecture):
    model = tiny_model(architecture)
    unfreezing = GradualUnfreezing(model, total_steps=8)
    lower, upper = encoder_layers(model)
    ids = torch.tensor([[2, 9, 8, 3]])
    trained = []
    for step in range(8):
        unfreezing.before(step)
        model.zero_grad()
        model(input_ids=ids, labels=torch.tensor([1])).loss.backward()
        unfreezing.after_backward()
        embeddings = model.get_input_embeddings()
        trained.append(
            [any(p.grad is not None for p in m.parameters()) for m in (upper, lower, embeddings)]
        )
    top, both, every = [True, False, False], [True, True, False], [True] * 3
    assert trained == [[False] * 3] * 2 + [top] * 2 + [both] * 2 + [every] * 2
    unfreezing.before(0)
    unfreezing.finish()
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_dropped_gradients_equal_those_never_computed(tmp_path, monkeypatch):
    """Under DDP every gradient is computed; the weights must come out the same."""
    options = {"compare_source_only": False, "gradual_unfreezing": True, "max_steps": 8,
               "discriminator_dropout": 0.0}  # fmt: skip
    trainer_for(tmp_path / "one", **options).train()
    original = GradualUnfreezing.__init__
    monkeypatch.setattr(
        GradualUnfreezing, "__init__",
        lambda self, model, steps, distributed: original(self, model, steps, distributed=True),
    )  # fmt: skip
    trainer_for(tmp_path / "two", **options).train()
    for name, value in weights(tmp_path / "one").items():
        torch.testing.assert_close(value, weights(tmp_path / "two")[name], atol=1e-7, rtol=1e-6)


def test_gradual_unfreezing_resumes_exactly(tmp_path, monkeypatch):
    options = {"gradual_unfreezing": True, "layer_decay": 0.8, "max_steps": 6, "save_steps": 2,
               "compare_source_only": False}  # fmt: skip
    assert_resumes(tmp_path, monkeypatch, 3, **options)
