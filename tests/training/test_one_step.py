"""A DANN step against a rewrite in plain PyTorch that shares no code with the package."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.modeling.discriminator import reverse_gradient
from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import Setup, build_objective
from nlp_adapt.training.accelerator import make_accelerator
from nlp_adapt.training.log import RunLog
from nlp_adapt.training.loop import StageLoop
from nlp_adapt.training.model import AdaptationModel
from tests.helpers.tiny_encoders import random_rows, tiny_model


def test_reversal_multiplies_the_gradient_by_minus_lambda():
    """Finite differences through a small network, lambda 0.7."""
    torch.manual_seed(0)
    weights = torch.randn(4, 3, dtype=torch.float64)

    def after(features):
        return (features.tanh() @ weights).square().sum()

    features = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    after(reverse_gradient(features, 0.7)).backward()
    step = 1e-6
    for index in np.ndindex(2, 4):
        nudged = torch.zeros(2, 4, dtype=torch.float64)
        nudged[index] = step
        slope = (after(features + nudged) - after(features - nudged)).item() / (2 * step)
        assert features.grad[index].item() == pytest.approx(-0.7 * slope, rel=1e-6, abs=1e-8)


def rewritten_dann(model, discriminator, source, target, strength):
    """Loss and gradients with one pass per domain and the reversal written out by hand."""

    def run(rows):
        width = max(len(row) for row in rows)
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        hidden = model.bert(input_ids=ids, attention_mask=(ids != 0).long())
        return hidden.pooler_output

    source_features, target_features = run(source[0]), run(target)
    task = F.cross_entropy(model.classifier(source_features), torch.tensor(source[1]))
    from_source = discriminator(source_features).log_softmax(-1)[:, 0]
    from_target = discriminator(target_features).log_softmax(-1)[:, 1]
    domain = -0.5 * from_source.mean() - 0.5 * from_target.mean()
    encoder = list(model.parameters())
    critic = list(discriminator.parameters())
    task_gradients = torch.autograd.grad(task, encoder, retain_graph=True)
    encoder_gradients = torch.autograd.grad(domain, encoder, retain_graph=True, allow_unused=True)
    critic_gradients = torch.autograd.grad(domain, critic)
    combined = [
        first if second is None else first - strength * second
        for first, second in zip(task_gradients, encoder_gradients, strict=True)
    ]
    return task, domain, combined, critic_gradients


def test_one_step_equals_the_rewrite():
    model = tiny_model("bert")
    config = AdaptationConfig(
        precision="fp32",
        per_device_train_batch_size=6,
        discriminator_dropout=0.0,
        learning_rate=1e-3,
        head_learning_rate=5e-3,
        discriminator_learning_rate=2e-2,
        weight_decay=0.1,
        warmup_steps=0,
        lr_scheduler_type="constant",
        max_grad_norm=0.3,
        lambda_schedule="constant",
        lambda_max=0.4,
    )
    data = {"source": random_rows(6, 1, labels=2), "target": random_rows(6, 2).in_domain(1)}
    setup = Setup(features=32, num_labels=2, defaults=config.to_dict())
    dann = build_objective("dann", {}, setup)
    objectives = {"task": build_objective("task", {}, setup), "dann": dann}
    plain, critic = copy.deepcopy(model), copy.deepcopy(dann.discriminator)
    adaptation = AdaptationModel(model, UnitReader(model), objectives)
    accelerator = make_accelerator(config)
    loop = StageLoop(
        accelerator=accelerator,
        model=adaptation,
        batches=PairedBatches(data, total_steps=1, batch_size=6, pad_id=0, seed=0),
        config=config,
        learning_rate=config.learning_rate,
        log=RunLog(None, accelerator, 1, show_bar=False),
    )
    loop.log.start_stage("test", 1)
    assert list(loop.steps()) == [1]

    def rows(side):
        return [
            data[side].ids[data[side].offsets[i] : data[side].offsets[i + 1]].tolist()
            for i in range(6)
        ]

    _, _, gradients, critic_gradients = rewritten_dann(
        plain, critic, (rows("source"), data["source"].labels.tolist()), rows("target"), 0.4
    )
    every = [*gradients, *critic_gradients]
    norm = sum(gradient.square().sum() for gradient in every).sqrt()
    scale = min(1.0, 0.3 / (norm.item() + 1e-6))
    named = [*plain.named_parameters(), *((f"critic.{n}", p) for n, p in critic.named_parameters())]
    after = [*model.parameters(), *dann.discriminator.parameters()]
    for (name, before), gradient, now in zip(named, every, after, strict=True):
        rate = 2e-2 if "critic" in name else 5e-3 if "classifier" in name else 1e-3
        decay = 0.0 if name.endswith("bias") or "LayerNorm" in name else 0.1
        clipped = gradient * scale
        # AdamW's first step: the bias-corrected moments are the gradient and its square.
        expected = before * (1 - rate * decay) - rate * clipped / (clipped.abs() + 1e-8)
        torch.testing.assert_close(
            now.detach()[clipped.abs() > 1e-6],
            expected.detach()[clipped.abs() > 1e-6],
            atol=rate * 2e-2,
            rtol=0,
        )


def test_losses_and_gradients_equal_the_rewrite():
    model = tiny_model("bert")
    setup = Setup(features=32, num_labels=2)
    options = {"lambda_schedule": "constant", "lambda_max": 0.25, "dropout": 0.0}
    dann = build_objective("dann", options, setup)
    objectives = {"task": build_objective("task", {}, setup), "dann": dann}
    data = {"source": random_rows(5, 3, labels=2), "target": random_rows(5, 4).in_domain(1)}
    (batch,) = PairedBatches(data, total_steps=1, batch_size=5, pad_id=0, seed=0).step(0)
    batch = {
        key: torch.from_numpy(value) if hasattr(value, "dtype") else value
        for key, value in batch.items()
    }
    adaptation = AdaptationModel(model, UnitReader(model), objectives)
    terms = adaptation(batch, Progress(0, 1))
    terms["loss"].backward()
    plain = copy.deepcopy(model)
    rows = [
        [token for token, kept in zip(row, mask, strict=True) if kept]
        for row, mask in zip(
            batch["input_ids"].tolist(), batch["attention_mask"].tolist(), strict=True
        )
    ]
    task, domain, gradients, critic_gradients = rewritten_dann(
        plain, dann.discriminator, (rows[:5], batch["labels"][:5].tolist()), rows[5:], 0.25
    )
    assert terms["task"].item() == pytest.approx(task.item(), rel=1e-5)
    assert terms["dann"].item() == pytest.approx(domain.item(), rel=1e-5)
    assert terms["loss"].item() == pytest.approx((task + domain).item(), rel=1e-5)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-4)
    for parameter, gradient in zip(dann.discriminator.parameters(), critic_gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-4)
