"""Batches of prediction: every row once, near the token budget, the same numbers as row by row."""

import numpy as np
import pytest
import torch

from nlp_adapt.cli import build_parser
from nlp_adapt.data.batches import encoded
from nlp_adapt.data.batches.encoded import pack_rows
from nlp_adapt.modeling.cpu import TOKENS_PER_BATCH
from nlp_adapt.prediction.predictor import predict_logits, prediction_batches
from tests.helpers.tiny_encoders import tiny_model

CPU = torch.device("cpu")


def random_rows(count, longest=60, seed=0):
    generator = np.random.default_rng(seed)
    lengths = np.clip(generator.gamma(3.0, 6.0, count).astype(int), 2, longest)
    return pack_rows([generator.integers(5, 90, n).tolist() for n in lengths])


@pytest.mark.parametrize("processes", [1, 3])
def test_processes_share_the_rows_and_each_row_is_read_once(processes):
    rows = random_rows(500)
    seen = []
    for process in range(processes):
        share = (process, processes)
        for chosen, batch in prediction_batches(rows, CPU, pad_id=0, share=share):
            seen += chosen.tolist()
            assert batch["attention_mask"].sum(1).tolist() == rows.lengths[chosen].tolist()
    assert sorted(seen) == list(range(500))


def test_a_process_collates_its_own_batches_alone(monkeypatch):
    rows, made = random_rows(4000), []
    real = encoded.collate
    monkeypatch.setattr(encoded, "collate", lambda *a, **k: made.append(1) or real(*a, **k))
    shares = [len([*prediction_batches(rows, CPU, pad_id=0, share=(i, 3))]) for i in range(3)]
    assert len(made) == sum(shares)


def test_batches_are_near_the_budget_and_hold_little_padding():
    rows = random_rows(4000)
    tokens = padded = 0
    sizes = []
    for _, batch in prediction_batches(rows, CPU, pad_id=0):
        tokens += int(batch["attention_mask"].sum())
        padded += batch["attention_mask"].numel()
        sizes.append(batch["attention_mask"].numel())
    assert max(sizes) <= TOKENS_PER_BATCH["cpu"]
    assert np.median(sizes) > 0.9 * TOKENS_PER_BATCH["cpu"]
    assert 1 - tokens / padded < 0.05


def test_chunks_come_in_the_shapes_of_those_before():
    def shapes(seed):
        rows = random_rows(4000, seed=seed)
        return {
            tuple(batch["input_ids"].shape) for _, batch in prediction_batches(rows, CPU, pad_id=0)
        }

    first, second = shapes(0), shapes(1)
    assert len(second - first) <= 2  # the last batch of a chunk is what is left


def test_logits_are_those_of_each_row_alone():
    model, rows = tiny_model("bert", labels=3).train(), random_rows(40)
    found = predict_logits(model, rows, pad_id=0)
    assert model.training
    model.eval()
    with torch.no_grad():
        for row in range(len(rows)):
            ids = torch.from_numpy(rows.ids[rows.offsets[row] : rows.offsets[row + 1]]).long()
            expected = model(input_ids=ids[None]).logits[0]
            torch.testing.assert_close(torch.from_numpy(found[row]), expected, atol=1e-5, rtol=1e-5)


def test_no_rows_give_no_logits():
    assert predict_logits(tiny_model("bert"), pack_rows([]), pad_id=0).shape == (0, 2)


def test_new_rows_are_labelled_in_the_quicker_format_and_scores_are_computed_in_float32():
    parser = build_parser()
    assert parser.parse_args(["predict", "m", "i.txt", "--out", "o.csv"]).precision == "auto"
    assert parser.parse_args(["evaluate", "m", "--data", "d"]).precision == "fp32"
