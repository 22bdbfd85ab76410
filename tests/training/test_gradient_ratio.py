"""The adversary's gradient beside the task's: right, logged, and unnoticed by training."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nlp_adapt.config import DOMAIN_FEATURES
from nlp_adapt.data.batches.encoded import to_tensors
from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import OBJECTIVES, Setup, build_objective
from nlp_adapt.objectives.dann import AdversarialObjective
from nlp_adapt.training import loop as loop_module
from nlp_adapt.training.gradient_ratio import LARGEST, can_measure, why_unmeasured, with_ratios
from nlp_adapt.training.model import AdaptationModel
from tests.helpers.tiny_encoders import random_rows, tiny_model, tiny_tokenizer
from tests.helpers.trainers import trainer_for

ADVERSARIES = sorted(
    {name for name, kind in OBJECTIVES.items() if issubclass(kind, AdversarialObjective)} | {"daln"}
)
HALFWAY = Progress(5, 10)
RUN = {"compare_source_only": False, "data_doctor": "off", "eval_strategy": "no"}


def adaptation(options, architecture="bert", domain_features="classifier"):
    """A model with the named objectives and larger weights in its head, so that gradients differ."""
    model = tiny_model(architecture, labels=3)
    torch.nn.init.normal_(model.get_parameter(last_weight(model)), std=0.5)
    reader = UnitReader(model, domain_features)
    setup = Setup(features=32, num_labels=3, task_model=model, tokenizer=tiny_tokenizer(),
                  label_counts=torch.tensor([3.0, 4.0, 2.0]),
                  defaults={"discriminator_dropout": 0.0})  # fmt: skip
    objectives = {name: build_objective(name, own, setup) for name, own in options.items()}
    return AdaptationModel(model, reader, objectives).train()


def last_weight(model):
    return next(
        name
        for name, value in reversed(list(model.named_parameters()))
        if value.shape == (3, 32) and name.endswith("weight")
    )


def batch_of(rows=6, divide=False):
    """A batch whose target rows are longer, in one pass of the encoder or in two."""
    source, target = random_rows(4 * rows, 1, labels=3), random_rows(4 * rows, 2).in_domain(1)
    source = source.select(np.argsort(source.lengths)[:rows])
    target = target.select(np.argsort(target.lengths)[-rows:])
    (batch,) = PairedBatches(
        {"source": source, "target": target},
        total_steps=1, batch_size=rows, pad_id=0, seed=0, divide=divide,
    ).step(0)  # fmt: skip
    assert len(batch["passes"]) == 1 + divide
    tensors = {name: value for name, value in batch.items() if hasattr(value, "dtype")}
    return {**batch, **to_tensors(tensors, torch.device("cpu"))}


def measured(model, batch):
    torch.manual_seed(3)
    terms = model(batch, HALFWAY, measure=True)
    return with_ratios({name: value.item() for name, value in terms.items()})


def norm_at(model, module, batch, term, from_outputs):
    """Norm of a term's gradient by a leaf put in the place of the shared states."""
    leaves = []

    def put_in_place(states):
        leaves.append(states.detach().requires_grad_())
        return leaves[-1]

    if from_outputs:

        def after(module, arguments, outputs):
            outputs["last_hidden_state"] = put_in_place(outputs[0])
            return outputs

        hook = module.register_forward_hook(after)
    else:
        hook = module.register_forward_pre_hook(
            lambda module, arguments: (put_in_place(arguments[0]), *arguments[1:]),
            prepend=True,  # before the hook that records the features
        )
    found = []
    original = model.objectives[term].forward

    def keep(view):
        terms = original(view)
        found.append(model.objectives[term].config.weight * terms[term])
        return terms

    model.objectives[term].forward = keep
    try:
        torch.manual_seed(3)
        model(batch, HALFWAY)
        found[0].backward()
    finally:
        del model.objectives[term].forward
        hook.remove()
        model.zero_grad()
    gradients = [leaf.grad.flatten() for leaf in leaves if leaf.grad is not None]
    return torch.cat(gradients).norm().item()


@pytest.mark.parametrize("name", ADVERSARIES)
def test_the_ratio_is_that_of_the_gradients_by_what_the_classifier_reads(name):
    model, batch = adaptation({"task": {"weight": 0.7}, name: {"weight": 1.5}}), batch_of()
    found = measured(model, batch)[f"{name}/gradient_ratio"]
    own, task = (
        norm_at(model, model.task_model.classifier, batch, term, False) for term in (name, "task")
    )
    assert found == pytest.approx(own / task, rel=1e-4)
    assert found > 0


LAST_STATES = {
    "bert": "bert.encoder",
    "distilbert": "distilbert.transformer",
    "modernbert": "model",
}


@pytest.mark.parametrize("divide", [False, True])
@pytest.mark.parametrize(
    ("architecture", "pooling"),
    [("bert", "mean"), ("bert", "first"), ("distilbert", "max"), ("modernbert", "mean")],
)
def test_pooled_features_are_measured_at_the_last_layer(architecture, pooling, divide):
    """The task reads the first token there, BERT's through a pooler inside the encoder."""
    model = adaptation({"task": {}, "dann": {}}, architecture, pooling)
    batch = batch_of(divide=divide)
    found = measured(model, batch)["dann/gradient_ratio"]
    module = model.task_model.get_submodule(LAST_STATES[architecture])
    own, task = (norm_at(model, module, batch, term, True) for term in ("dann", "task"))
    assert found == pytest.approx(own / task, rel=1e-4)


@pytest.mark.parametrize("domain_features", DOMAIN_FEATURES)
def test_a_divided_batch_gives_the_same(domain_features):
    whole, divided = (
        measured(
            adaptation({"task": {}, "dann": {}}, "bert", domain_features), batch_of(divide=divide)
        )["dann/gradient_ratio"]
        for divide in (False, True)
    )
    assert divided == pytest.approx(whole, rel=1e-4)


def test_dann_against_a_rewrite():
    model, batch = adaptation({"task": {}, "dann": {}}), batch_of()
    found = measured(model, batch)["dann/gradient_ratio"]
    task_model, critic = model.task_model, model.objectives["dann"].discriminator
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    features = task_model.bert(**inputs).pooler_output.detach().requires_grad_()
    guesses = task_model.classifier(features[:6]).softmax(-1).detach()
    errors = (guesses - F.one_hot(batch["labels"][:6], 3)) / 6
    task = (errors @ task_model.classifier.weight).norm().item()
    domains = torch.tensor([0] * 6 + [1] * 6)
    F.cross_entropy(critic(features), domains).backward()
    strength = 2 / (1 + math.exp(-5)) - 1
    assert found == pytest.approx(strength * features.grad.norm().item() / task, rel=1e-4)


def test_it_grows_with_the_weight_and_is_zero_without_a_reversal():
    batch = batch_of()
    single, double = (
        measured(adaptation({"task": {}, "dann": {"weight": weight}}), batch)
        for weight in (1.0, 2.0)
    )
    assert double["dann/gradient_ratio"] == pytest.approx(2 * single["dann/gradient_ratio"])
    off = adaptation({"task": {}, "dann": {"lambda_max": 0.0}})
    assert measured(off, batch)["dann/gradient_ratio"] == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_gives_nearly_the_same(dtype):
    model, batch = adaptation({"task": {}, "dann": {}}), batch_of()
    expected = measured(model, batch)["dann/gradient_ratio"]
    with torch.autocast("cpu", dtype=dtype):
        found = measured(model, batch)["dann/gradient_ratio"]
    assert found == pytest.approx(expected, rel=0.1)


def test_nothing_divides_by_zero():
    squares = {"x/gradient_square": 9.0, "x/reference_square": 4.0}
    assert with_ratios({"x": 1.0, **squares}) == {"x": 1.0, "x/gradient_ratio": 1.5}
    squares["x/reference_square"] = 0.0
    assert with_ratios(squares)["x/gradient_ratio"] == LARGEST
    squares["x/gradient_square"] = 0.0
    assert with_ratios(squares)["x/gradient_ratio"] == 0
    assert math.isnan(with_ratios({**squares, "x/reference_square": math.nan})["x/gradient_ratio"])


def test_nothing_is_measured_unless_asked_for():
    model, batch = adaptation({"task": {}, "dann": {}}), batch_of()
    assert not [name for name in model(batch, HALFWAY) if "gradient" in name or "square" in name]


def lines_of(folder):
    return [json.loads(line) for line in (folder / "run" / "log.jsonl").open()]


def trained(folder, **options):
    trainer = trainer_for(folder, **RUN, **options)
    trainer.train()
    objectives = {
        f"{name}.{key}": value
        for name, one in trainer.objectives.items()
        for key, value in one.state_dict().items()
    }
    return {**trainer.model.state_dict(), **objectives}, torch.get_rng_state()


def test_training_does_not_notice(tmp_path, monkeypatch):
    """Dropout, masks and attacks draw numbers before the main pass and after it."""
    stages = [{"objectives": ["mlm", "vat", "task", "dann", "wasserstein"], "steps": 3}]
    options = {"stages": stages, "max_steps": -1, "gradient_accumulation_steps": 2,
               "discriminator_dropout": 0.3}  # fmt: skip
    with_it, random = trained(tmp_path / "with", logging_steps=1, **options)
    assert all(line["dann/gradient_ratio"] > 0 for line in lines_of(tmp_path / "with")[1:])
    monkeypatch.setattr(loop_module.StageLoop, "_is_logged", lambda self: False)
    without, other_random = trained(tmp_path / "without", logging_steps=1, **options)
    assert not any("dann/gradient_ratio" in line for line in lines_of(tmp_path / "without"))
    assert torch.equal(random, other_random)
    for name, value in with_it.items():
        assert torch.equal(value, without[name]), name


def test_only_steps_that_are_logged_are_measured(tmp_path, monkeypatch):
    asked, forward = [], AdaptationModel.forward

    def seen(self, batch, progress, measure=False):
        asked.append(measure)
        return forward(self, batch, progress, measure)

    monkeypatch.setattr(AdaptationModel, "forward", seen)
    trained(tmp_path, max_steps=5, logging_steps=2)
    assert asked == [False, True, False, True, True]
    assert [line["step"] for line in lines_of(tmp_path) if "dann/gradient_ratio" in line] == [
        2,
        4,
        5,
    ]


def test_micro_batches_give_the_ratio_of_one_big_batch(tmp_path):
    options = {"max_steps": 2, "discriminator_dropout": 0.0}
    trained(tmp_path / "big", per_device_train_batch_size=8, **options)
    trained(
        tmp_path / "small", per_device_train_batch_size=2, gradient_accumulation_steps=4, **options
    )
    big, small = (
        [line["dann/gradient_ratio"] for line in lines_of(tmp_path / size)]
        for size in ("big", "small")
    )
    assert big == pytest.approx(small, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"stages": [{"objectives": ["dann"], "steps": 2}]}, "no task term"),
        ({"freeze": "all", "max_steps": 2}, "nothing that both terms read is trained"),
    ],
)
def test_why_there_is_no_ratio_is_said_once(tmp_path, options, reason):
    trained(tmp_path, **{"max_steps": -1, **options})
    notes = [line["gradient_ratio"] for line in lines_of(tmp_path) if "gradient_ratio" in line]
    assert len(notes) == 1
    assert reason in notes[0]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert reason in results["adapted"]["adversary"]["dann"]["unmeasured"]


def test_a_run_without_an_adversary_says_nothing(tmp_path):
    trained(tmp_path, method="mmd")
    assert not [key for line in lines_of(tmp_path) for key in line if "gradient" in key]


def test_a_compiled_encoder_shows_its_ends_alone():
    model = tiny_model()
    assert can_measure(model, "mean")
    model.base_model._compiled_call_impl = lambda *inputs: None
    assert can_measure(model, "classifier")
    assert not can_measure(model, "mean")
    terms = {"task": torch.ones(()), "dann": torch.ones(()), "dann/lambda": torch.ones(())}
    assert "compiled" in why_unmeasured(terms, model, "mean")
    terms["dann/gradient_square"] = torch.ones(())
    assert why_unmeasured(terms, model, "classifier") == ""
