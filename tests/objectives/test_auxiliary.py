"""Auxiliary tasks: losses and gradients against plain PyTorch, and the same step in micro-batches."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.names import IGNORED_LABEL
from nlp_adapt.objectives import AuxiliarySpec, Setup, build_objective
from nlp_adapt.training.model import AdaptationModel
from tests.helpers.tiny_batches import make_model, make_rows

STARS = AuxiliarySpec("stars", 5, weight=0.7)
TOPIC = AuxiliarySpec("topic", 3, weight=0.4, share=0.5)
TAGS = AuxiliarySpec("tags", 4, words=True, share=0.5)


def whole(rows, classes, seed=5):
    """Rows with classes as a whole, which their first units carry; about a third have none."""
    generator = np.random.default_rng(seed)
    of_row = generator.integers(0, classes, len(rows))
    of_row[generator.random(len(rows)) < 0.3] = IGNORED_LABEL
    labels = np.full(rows.units, IGNORED_LABEL)
    labels[rows.unit_offsets[:-1]] = of_row
    return replace(rows, labels=labels)


def sides_for(specs, token_level):
    sides = {
        "source": make_rows(token_level, 6),
        "target": make_rows(token_level, 6, domain=1).without_labels(),
    }
    for spec in specs:
        if spec.words:
            rows = make_rows(True, 7, domain=3)
            rows = replace(rows, labels=np.random.default_rng(2).integers(0, 4, rows.units))
            rows.labels[3] = IGNORED_LABEL
            sides[spec.side] = rows
        else:
            sides[spec.side] = whole(make_rows(token_level, 7, domain=2), spec.num_labels)
    return sides


def batches_of(sides, specs, micro_batches=1):
    paired = PairedBatches(
        sides, total_steps=1, batch_size=6 // micro_batches, micro_batches=micro_batches, pad_id=0,
        seed=3, portions={spec.side: spec.share for spec in specs},
    )  # fmt: skip
    ready = []
    for batch in paired.step(0):
        ready.append(
            {
                key: torch.from_numpy(value) if hasattr(value, "dtype") else value
                for key, value in batch.items()
            }
        )
    return paired.rows_of(0), ready


def adaptation_model(model, specs, token_level):
    torch.manual_seed(1)
    setup = Setup(
        features=32, num_labels=2, task_model=model, token_level=token_level, auxiliary=tuple(specs)
    )
    objectives = {
        "task": build_objective("task", {}, setup),
        "auxiliary": build_objective("auxiliary", {"weight": 0.5, "dropout": 0.0}, setup),
    }
    reader = UnitReader(model, outside=0 if token_level else None)
    return AdaptationModel(model, reader, objectives)


def token_states(model, rows, chosen):
    """One pass for each row, without padding: `[tokens, hidden]` of each."""
    found = []
    for row in chosen:
        ids = torch.from_numpy(rows.ids[rows.offsets[row] : rows.offsets[row + 1]]).long()[None]
        found.append((model.bert(input_ids=ids), row))
    return found


def words_of(rows, row):
    return slice(rows.unit_offsets[row], rows.unit_offsets[row + 1])


def rewritten(model, heads, specs, sides, chosen, token_level):
    """The whole loss, one text after the other and in no order that the package knows."""

    def sentence(outputs, rows, row):
        if not token_level:
            return outputs.pooler_output[0]
        return outputs.last_hidden_state[0, rows.positions[words_of(rows, row)]].mean(0)

    source = sides["source"]
    main, count = 0.0, 0
    for outputs, row in token_states(model, source, chosen["source"]):
        states = outputs.pooler_output
        if token_level:
            states = outputs.last_hidden_state[0, source.positions[words_of(source, row)]]
        labels = torch.from_numpy(source.labels[words_of(source, row)])
        main = main + F.cross_entropy(model.classifier(states), labels, reduction="sum")
        count += len(labels)
    total = main / count
    own = {}
    for spec in specs:
        rows, terms, hits = sides[spec.side], [], []
        for outputs, row in token_states(model, rows, chosen[spec.side]):
            if spec.words:
                states = outputs.last_hidden_state[0, rows.positions[words_of(rows, row)]]
                labels = rows.labels[words_of(rows, row)]
            else:
                states = sentence(outputs, rows, row)[None]
                labels = rows.labels[rows.unit_offsets[[row]]]
            for state, label in zip(states, labels, strict=True):
                if label >= 0:
                    logits = heads[spec.name](state)
                    terms.append(logits.logsumexp(0) - logits[label])
                    hits.append(float(logits.argmax() == label))
        own[spec.name] = sum(terms) / len(terms), sum(hits) / len(hits)
        total = total + 0.5 * spec.weight * own[spec.name][0]
    return total, own


@pytest.mark.parametrize(
    ("token_level", "specs"),
    [
        (False, [STARS]),
        (False, [STARS, TOPIC]),
        (False, [TAGS]),
        (True, [STARS, TOPIC]),
        (True, [TAGS]),
    ],
    ids=["stars", "stars and topic", "tags beside texts", "texts beside tags", "other tags"],
)
def test_losses_and_gradients_equal_the_rewrite(token_level, specs):
    model = make_model(token_level=token_level, dropout=0.0)
    sides = sides_for(specs, token_level)
    chosen, (batch,) = batches_of(sides, specs)
    adaptation = adaptation_model(model, specs, token_level)
    plain = copy.deepcopy(adaptation)
    terms = adaptation(batch, Progress(0, 1))
    terms["loss"].backward()
    auxiliary = plain.objectives["auxiliary"]
    heads = {spec.name: auxiliary.heads[f"{spec.name}_head"] for spec in specs}
    total, own = rewritten(plain.task_model, heads, specs, sides, chosen, token_level)
    total.backward()
    torch.testing.assert_close(terms["loss"], total.detach(), rtol=1e-5, atol=1e-6)
    for name, (loss, accuracy) in own.items():
        assert terms[f"auxiliary/{name}/loss"].item() == pytest.approx(loss.item(), rel=1e-5)
        assert terms[f"auxiliary/{name}/accuracy"].item() == pytest.approx(accuracy)
    expected = dict(plain.named_parameters())
    for name, parameter in adaptation.named_parameters():
        wanted = expected[name].grad
        found = parameter.grad
        if wanted is None:  # such as a pooler that neither side uses
            assert found is None or not found.any(), name
        else:
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("token_level", [False, True])
@pytest.mark.parametrize("share", [0.5, 0.1])  # 3 rows, and a single one: the second part has none
def test_two_micro_batches_equal_one_batch(token_level, share):
    specs = [STARS, replace(TOPIC, share=share), replace(TAGS, share=share)]
    sides = sides_for(specs, token_level)
    found = []
    for parts in (1, 2):
        model = make_model(token_level=token_level, dropout=0.0)
        adaptation = adaptation_model(model, specs, token_level)
        _, batches = batches_of(sides, specs, parts)
        totals = {}
        for batch in batches:
            terms = adaptation(batch, Progress(0, 1))
            (terms["loss"] / parts).backward()
            for name, value in terms.items():
                totals[name] = totals.get(name, 0.0) + value.detach() / parts
        found.append((totals, [parameter.grad for parameter in adaptation.parameters()]))
    (whole_terms, whole_gradients), (part_terms, part_gradients) = found
    for name in ("auxiliary", "auxiliary/stars/accuracy", "auxiliary/topic/loss", "loss"):
        torch.testing.assert_close(part_terms[name], whole_terms[name], rtol=1e-5, atol=1e-6)
    for one, other in zip(part_gradients, whole_gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_every_head_has_a_gradient_where_a_micro_batch_has_no_row_of_it():
    """Otherwise its process would make the others wait."""
    specs = [replace(TOPIC, share=0.1)]
    adaptation = adaptation_model(make_model(dropout=0.0), specs, token_level=False)
    _, (_, empty) = batches_of(sides_for(specs, False), specs, micro_batches=2)
    assert len(empty["auxiliary/topic/input_ids"]) == 0
    adaptation(empty, Progress(0, 1))["loss"].backward()
    for name, parameter in adaptation.objectives["auxiliary"].named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any()


def test_other_objectives_do_not_see_rows_that_stand_apart():
    """The same loss of a discriminator, to the last bit, with and without an auxiliary task."""
    losses = []
    for specs in ([], [TOPIC]):
        model = make_model(dropout=0.0)
        sides = sides_for(specs, False)
        sides["target"] = sides["target"].in_domain(1)
        _, (batch,) = batches_of(sides, specs)
        torch.manual_seed(0)
        dann = build_objective("dann", {"dropout": 0.0}, Setup(features=32, num_labels=2))
        terms = AdaptationModel(model, UnitReader(model), {"dann": dann})(batch, Progress(1, 2))
        losses.append(terms["dann"])
    torch.testing.assert_close(*losses, rtol=1e-6, atol=0)


def test_dropout_out_of_range_is_refused_by_name():
    setup = Setup(features=6, num_labels=2, auxiliary=(STARS,))
    with pytest.raises(ConfigError, match=r"dropout is 1\.0"):
        build_objective("auxiliary", {"dropout": 1.0}, setup)
