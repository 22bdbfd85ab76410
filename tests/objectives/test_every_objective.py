"""What holds for every objective: safe on odd batches, float32 inside, checked options, presets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError
from nlp_adapt.methods import METHODS, stages_for
from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.names import TASKS
from nlp_adapt.objectives import OBJECTIVES, Objective, Setup, build_objective
from nlp_adapt.objectives.statistics import select
from tests.helpers.toy_problem import ToyModel, make_outputs

# Objectives that read units alone; the others take their own view of the text.
ON_UNITS = [name for name, kind in OBJECTIVES.items() if kind.losses is not Objective.losses]
BATCHES = {
    "empty target": {"target_units": 0},
    "empty source": {"source_units": 0},
    "both empty": {"source_units": 0, "target_units": 0},
    "single units": {"source_units": 1, "target_units": 1},
    "no labels": {"ignored": 7},
    "one unit, weighted": {"source_units": 4, "target_units": 1, "weighted": True},
    "many sentences": {"source_units": 40, "target_units": 30, "weighted": True},
}


def task_model():
    torch.manual_seed(0)
    return ToyModel(torch.randn(4, 2), token_level=False, hidden=6)


def build(name, **setup):
    torch.manual_seed(0)
    own = {"features": 6, "num_labels": 3, "task_model": task_model(), **setup}
    return build_objective(name, {}, Setup(**own)).train()


def loss_of(terms):
    return sum(value for name, value in terms.items() if "/" not in name)


def test_the_families_are_complete():
    adversarial = {"dann", "cdan", "wasserstein", "mdd", "adda", "iw_dann", "iw_cdan"}
    discrepancy = {"mmd", "coral", "cmd", "lmmd"}
    structure = {"mcc", "information_maximisation", "entropy"}
    assert {"task"} | adversarial | discrepancy | structure <= set(ON_UNITS) & set(METHODS) | {
        "task"
    }


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", ON_UNITS)
def test_losses_and_gradients_are_finite_on_odd_batches(name, batch):
    objective = build(name)
    source, target = make_outputs(3, **BATCHES[batch])
    terms = objective.losses(source, target, Progress(5, 10))
    loss = loss_of(terms)
    assert loss.shape == ()
    assert loss.isfinite()
    loss.backward()
    leaves = [source.features, source.logits, target.features, target.logits]
    for leaf in [*leaves, *objective.parameters()]:
        assert leaf.grad is None or leaf.grad.isfinite().all()
    for buffer in objective.buffers():
        assert buffer.isfinite().all()
    for key, value in terms.items():
        # The accuracy of a discriminator over no units is undefined.
        assert value.isfinite() or key.endswith(("/accuracy", "/entropy"))


@pytest.mark.parametrize("name", ON_UNITS)
def test_every_parameter_is_in_the_graph_on_an_empty_side(name):
    """Otherwise a process with such a batch would make the others wait for its gradients."""
    for side in ("source_units", "target_units"):
        objective = build(name)
        source, target = make_outputs(3, **{side: 0})
        loss_of(objective.losses(source, target, Progress(5, 10))).backward()
        for key, parameter in objective.named_parameters():
            assert parameter.grad is not None or not parameter.requires_grad, key


@pytest.mark.parametrize("name", ON_UNITS)
def test_losses_are_computed_in_float32_under_autocast(name):
    exact = [leaf.to(torch.bfloat16).float() for leaf in leaves_of(make_outputs(4))]
    source, target = make_outputs(4, dtype=torch.bfloat16)
    losses = []
    for low in (True, False):
        objective = build(name, label_counts=torch.ones(3))
        if not low:
            source = replace(source, features=exact[0], logits=exact[1])
            target = replace(target, features=exact[2], logits=exact[3])
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            losses.append(loss_of(objective.losses(source, target, Progress(5, 10))))
    assert losses[0].dtype == torch.float32
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-7)


def leaves_of(outputs):
    return [leaf for side in outputs for leaf in (side.features, side.logits)]


@pytest.mark.parametrize("name", ON_UNITS)
def test_state_is_restored_exactly(name):
    objective = build(name).eval()
    copy = build_objective(
        name, {}, Setup(features=6, num_labels=3, task_model=task_model())
    ).eval()
    copy.load_state_dict(objective.state_dict())
    source, target = make_outputs(5)
    losses = []
    for one in (objective, copy):
        torch.manual_seed(1)
        losses.append(loss_of(one.losses(source, target, Progress(5, 10))))
    assert torch.equal(*losses)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mmd", {"kernels": 0}),
        ("lmmd", {"max_units": 0}),
        ("mmd", {"bandwidth": "mode"}),
        ("cmd", {"moments": 0}),
        ("cmd", {"bound": "relu"}),
        ("mcc", {"temperature": 0.0}),
        ("adda", {"temperature": -1.0}),
        ("cdan", {"random_dim": 0}),
        ("iw_cdan", {"random_dim": 0}),
        ("iw_cdan", {"momentum": 1.0}),
        ("iw_dann", {"estimator": "guess"}),
        ("iw_dann", {"max_weight": 0.5}),
        ("wasserstein", {"critic_steps": -1}),
        ("wasserstein", {"critic_learning_rate": 0.0}),
        ("mdd", {"margin": 0.0}),
        ("dann", {"source_warmup": 1.0}),
        ("mdd", {"lambda_max": -1.0}),
        ("adda", {"layers": 0}),
        ("wasserstein", {"dropout": 1.5}),
        ("cdan", {"hidden_size": 0}),
        ("iw_cdan", {"lambda_max": -1.0}),
        ("daln", {"lambda_max": -1.0}),
        ("daln", {"source_warmup": 1.0}),
        ("information_maximisation", {"prior": "target"}),
        ("information_maximisation", {"marginal_weight": -1.0}),
    ],
)
def test_options_out_of_range_are_refused_by_name(name, options):
    setup = Setup(features=6, num_labels=3, task_model=task_model())
    with pytest.raises(ConfigError, match=next(iter(options))):
        build_objective(name, options, setup)


@pytest.mark.parametrize("name", ["mmd", "coral", "cmd", "lmmd", "mcc", "daln"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_side_without_a_unit_that_counts_adds_nothing(name, side):
    """As with `domain_words: subsampled`, where all words of a short sentence may be left out."""
    if (name, side) == ("mcc", "source"):
        pytest.skip("mcc reads the target alone")
    outputs = dict(zip(("source", "target"), make_outputs(6, weighted=True), strict=True))
    outputs[side] = replace(outputs[side], weights=torch.zeros(len(outputs[side])))
    loss = build(name).train().losses(outputs["source"], outputs["target"], Progress(5, 10))[name]
    assert float(loss.detach()) == 0.0
    assert loss.requires_grad


@pytest.mark.parametrize("name", ["mmd", "coral", "cmd", "lmmd", "mcc", "daln"])
def test_units_that_do_not_count_may_be_left_out(name):
    source, target = make_outputs(6, weighted=True)
    kept = torch.tensor([0, 2, 3])
    weights = torch.zeros(len(target)).index_copy(0, kept, torch.tensor([1.0, 0.5, 2.0]))
    objective = build(name).train()
    losses = [
        objective.losses(source, side, Progress(5, 10))[name]
        for side in (
            replace(target, weights=weights),
            select(replace(target, weights=weights), kept),
        )
    ]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize(
    "name", [name for name in ON_UNITS if name not in ("task", "distillation")]
)
def test_a_step_that_is_not_finite_leaves_no_trace(name):
    """The loop skips the step: its loss must not be finite, and what is learnt must stay so."""
    objective = build(name).train()
    source, target = make_outputs(7)
    broken = replace(target, logits=target.logits * torch.nan, features=target.features * torch.nan)
    assert not torch.isfinite(loss_of(objective.losses(source, broken, Progress(5, 10))))
    for key, value in objective.state_dict().items():
        assert torch.isfinite(value).all(), key


@pytest.mark.parametrize("name", METHODS)
def test_every_preset_has_stages_of_known_objectives(name):
    method = METHODS[name]
    assert set(method.tasks) <= set(TASKS)
    assert method.tasks
    for task in method.tasks:
        for length in ({"num_train_epochs": 3.0}, {"max_steps": 90}):
            stages = stages_for(AdaptationConfig(task=task, method=name, teacher="x", **length))
            for stage in stages:
                for objective, options in stage.objectives.items():
                    OBJECTIVES[objective].read_options(objective, options)
            assert any(
                stage.fit or {"task", "distillation"} & {*stage.objectives} for stage in stages
            )


def test_adda_learns_the_task_first_and_within_the_same_budget():
    stages = stages_for(AdaptationConfig(method="adda", num_train_epochs=3.0))
    assert [list(stage.objectives) for stage in stages] == [["task"], ["adda"]]
    assert sum(stage.epochs for stage in stages) == 3.0


@pytest.mark.parametrize("task", ["sequence-classification", "token-classification"])
def test_auto_learns_its_twins_answers_for_the_last_third_of_the_run(task):
    asked = {"self_training": {"temperature": 0.5}}
    config = AdaptationConfig(method="auto", task=task, num_train_epochs=3.0, options=asked)
    first, second = stages_for(config)
    assert (first.epochs, second.epochs) == (2.0, 1.0)
    assert set(first.objectives) == {"task"}
    adversary = {"dann"} if task == "sequence-classification" else set()
    assert set(second.objectives) == {"task", "self_training"} | adversary
    teacher = second.objectives["self_training"]
    assert (teacher["teacher"], teacher["weighting"], teacher["balance"]) == ("twin", "none", 0.0)
    assert teacher["temperature"] == 0.5
