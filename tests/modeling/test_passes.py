"""A batch in passes of different width: the same numbers as in one pass, and seen as one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nlp_adapt.data.batches.encoded import pack_rows, to_tensors
from nlp_adapt.data.batches.pairing import PairedBatches
from nlp_adapt.modeling.architectures import encoder_of
from nlp_adapt.modeling.cpu import in_passes
from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.modeling.perturbation import perturbed
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import Setup, build_objective
from nlp_adapt.training.model import AdaptationModel
from tests.helpers.tiny_encoders import ARCHITECTURES, tiny_model

PASSES = ((3, 5), (2, 9))


def batch_of_two_widths(rows=(3, 2), widths=(5, 9)):
    """Ids and mask: rows of several lengths, the longest of each part as long as its width."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 90, (sum(rows), max(widths)), generator=generator)
    mask = torch.ones_like(ids)
    first = 0
    for count, width in zip(rows, widths, strict=True):
        for row in range(first, first + count):
            mask[row, width - (row - first) :] = 0
        first += count
    return {"input_ids": ids * mask, "attention_mask": mask}


def real_tokens(logits, mask):
    return logits[mask.bool()] if logits.dim() == 3 else logits


@pytest.mark.parametrize("task", ["SequenceClassification", "TokenClassification"])
@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_outputs_and_gradients_are_those_of_one_pass(architecture, task):
    batch = batch_of_two_widths()
    found = []
    for passes in ((), PASSES):
        model = tiny_model(architecture, task, labels=3)
        with in_passes(model, passes):
            logits = model(**batch).logits
        real = real_tokens(logits, batch["attention_mask"])
        (real * torch.linspace(-1, 1, real.numel()).view(real.shape)).sum().backward()
        found.append((real, {name: p.grad for name, p in model.named_parameters()}))
    (one, gradients), (several, others) = found
    torch.testing.assert_close(several, one, atol=1e-5, rtol=1e-5)
    for name, gradient in gradients.items():
        if gradient is None:
            assert others[name] is None, name
        else:
            torch.testing.assert_close(others[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_each_part_runs_at_its_own_width_and_words_are_looked_up_once():
    model = tiny_model("bert")
    encoder = encoder_of(model)
    seen, lookups, outputs = [], [], []
    encoder.encoder.layer[0].register_forward_hook(
        lambda module, arguments, output: seen.append(tuple(arguments[0].shape[:2]))
    )
    model.get_input_embeddings().register_forward_hook(
        lambda module, arguments, output: lookups.append(tuple(output.shape[:2]))
    )
    encoder.register_forward_hook(
        lambda module, arguments, output: outputs.append(tuple(output[0].shape[:2]))
    )
    with in_passes(model, PASSES):
        model(**batch_of_two_widths())
    assert seen == [(3, 5), (2, 9)]
    assert lookups == [(5, 9)]
    assert outputs == [(5, 9)]


def test_perturbed_embeddings_reach_every_part():
    model = tiny_model("roberta").eval()
    batch = batch_of_two_widths()
    noise = torch.randn(5, 9, 32, generator=torch.Generator().manual_seed(1))
    with perturbed(model, noise):
        expected = model(**batch).logits
        with in_passes(model, PASSES):
            found = model(**batch).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(expected, model(**batch).logits, atol=1e-3)


def test_batches_of_another_shape_go_through_as_they_are_and_an_error_leaves_no_trace():
    model = tiny_model("bert").eval()
    other = {name: value[:3] for name, value in batch_of_two_widths().items()}
    widths = []
    encoder_of(model).encoder.layer[0].register_forward_hook(
        lambda module, arguments, output: widths.append(tuple(arguments[0].shape[:2]))
    )
    with in_passes(model, PASSES):
        model(**other)
    assert widths == [(3, 9)]
    with pytest.raises(RuntimeError, match="on purpose"), in_passes(model, PASSES):
        raise RuntimeError("on purpose")
    assert "forward" not in encoder_of(model).__dict__
    model(**batch_of_two_widths())
    assert widths[-1] == (5, 9)


def sides(source=(3, 6), target=(14, 20), rows=40, seed=0):
    generator = np.random.default_rng(seed)

    def random_rows(low, high, labels):
        lengths = generator.integers(low, high + 1, rows)
        return pack_rows([generator.integers(5, 90, n).tolist() for n in lengths], labels)

    return {
        "source": random_rows(*source, generator.integers(0, 2, rows)),
        "target": random_rows(*target, None).in_domain(1),
    }


def test_a_step_gives_the_same_losses_and_gradients_either_way():
    data = sides()
    results = []
    for divide in (False, True):
        (batch,) = PairedBatches(
            data, total_steps=4, batch_size=6, pad_id=0, seed=0, divide=divide
        ).step(1)
        assert len(batch["passes"]) == 1 + divide
        arrays = {name: value for name, value in batch.items() if hasattr(value, "dtype")}
        model = tiny_model("bert")
        setup = Setup(features=32, num_labels=2, task_model=model)
        objectives = {
            "task": build_objective("task", {}, setup),
            "dann": build_objective("dann", {"dropout": 0.0}, setup),
            "vat": build_objective("vat", {}, setup),
        }
        adaptation = AdaptationModel(model, UnitReader(model), objectives)
        torch.manual_seed(3)
        for parameter in objectives["dann"].parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        with in_passes(model, batch["passes"]):
            terms = adaptation({**batch, **to_tensors(arrays)}, Progress(3, 10))
            terms["loss"].backward()
        results.append((terms, {n: p.grad for n, p in adaptation.named_parameters()}))
    (one, gradients), (two, others) = results
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=1e-5, rtol=1e-3, msg=name)
    for name, gradient in gradients.items():
        if gradient is not None:
            torch.testing.assert_close(others[name], gradient, atol=1e-5, rtol=1e-3, msg=name)


def test_passes_hold_every_token_and_save_padding():
    data = sides()
    batches = PairedBatches(
        data, total_steps=12, batch_size=8, pad_id=0, seed=0, divide=True,
        processes=2, process=1, micro_batches=2,
    )  # fmt: skip
    for step in range(12):
        for batch in batches.step(step):
            mask, first = batch["attention_mask"], 0
            for rows, width in batch["passes"]:
                part = mask[first : first + rows]
                assert part[:, width:].sum() == 0
                first += rows
            assert first == len(mask)
            assert max(width for _, width in batch["passes"]) == mask.shape[1]
            padded = sum(rows * width for rows, width in batch["passes"])
            assert padded < 0.8 * mask.size


def test_a_batch_with_both_sides_is_divided_wherever_an_encoder_is_run():
    def passes(data, divide=True):
        batches = PairedBatches(data, total_steps=5, batch_size=8, pad_id=0, seed=0, divide=divide)
        return [len(batches.step(step)[0]["passes"]) for step in range(5)]

    far, near = sides(), sides(source=(9, 12), target=(9, 12))
    assert passes(far) == [2] * 5
    assert passes(far, divide=False) == [1] * 5
    assert passes(near) == [2] * 5
    assert passes({"source": far["source"]}) == [1] * 5
    states = {
        name: replace(rows, states=np.zeros((len(rows.ids), 4))) for name, rows in far.items()
    }
    assert passes(states) == [1] * 5


def test_few_shapes_that_come_early():
    """Each new one compiles kernels, which are kept: rare shapes would make memory grow for long."""
    generator = np.random.default_rng(0)
    data = {
        "source": pack_rows([[1] * n for n in generator.integers(3, 60, 3000)], [1] * 3000),
        "target": pack_rows([[1] * n for n in generator.integers(3, 40, 1500)]),
    }
    batches = PairedBatches(
        data, total_steps=600, batch_size=32, pad_id=0, seed=0, divide=True
    )  # fmt: skip
    seen = [
        {shape for batch in batches.step(step) for shape in batch["passes"]} for step in range(600)
    ]
    assert set.union(*seen[:100]) == set.union(*seen)
    assert len(set.union(*seen)) <= 20
