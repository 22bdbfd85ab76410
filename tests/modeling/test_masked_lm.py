"""The language model behind infill: an encoder's own head, or one fitted on the run's text."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from nlp_adapt.data.batches.encoded import pack_rows
from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.modeling import masked_lm
from nlp_adapt.modeling.masked_lm import MaskedLanguageModel, fitted_head, language_model_of
from tests.helpers.tiny_batches import SIZES, VOCABULARY, make_model, make_tokenizer


def rows_of(*texts: str) -> tuple[np.ndarray, np.ndarray]:
    rows = pack_rows(make_tokenizer()(list(texts))["input_ids"])
    return rows.ids, rows.offsets


def test_a_fitted_head_learns_which_word_stands_where_and_leaves_the_encoder_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside `the` and `good` stands `phone`, beside `a` and `bad` stands `plot`."""
    monkeypatch.setattr(masked_lm, "FIT_LEARNING_RATE", 1e-2)  # a tiny encoder learns slowly
    encoder = make_model(dropout=0.0).bert.eval().requires_grad_(False)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    texts = [rows_of(*["the phone good"] * 200), rows_of(*["a plot bad"] * 200)]
    random_state = torch.get_rng_state()
    head = fitted_head(encoder, make_tokenizer(), texts, seed=1)
    assert torch.equal(random_state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    assert all(parameter.grad is None for parameter in head.parameters())
    again = fitted_head(encoder, make_tokenizer(), texts, seed=1)
    for name, value in head.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    model = MaskedLanguageModel(encoder, head)
    for first, expected in (("the", "phone"), ("a", "plot")):
        last = "good" if first == "the" else "bad"
        inputs = torch.tensor([[2, VOCABULARY.index(first), 4, VOCABULARY.index(last), 3]])
        logits = model.logits(inputs, torch.ones_like(inputs), torch.tensor([2]))
        assert VOCABULARY[int(logits.argmax())] == expected


def test_text_without_single_token_words_leaves_the_frequencies() -> None:
    encoder = make_model(dropout=0.0).bert.eval()
    head = fitted_head(encoder, make_tokenizer(), [rows_of("films goodness"), rows_of("...")], 0)
    assert all(value.isfinite().all() for value in head.state_dict().values())


@pytest.fixture
def masked_lm_dir(tmp_path: Any) -> Any:
    config = transformers.BertConfig(vocab_size=len(VOCABULARY), **SIZES)
    torch.manual_seed(3)
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path / "mlm")
    make_tokenizer().save_pretrained(tmp_path / "mlm")
    return tmp_path / "mlm"


@pytest.fixture
def headless_dir(tmp_path: Any) -> Any:
    config = transformers.BertConfig(vocab_size=len(VOCABULARY), **SIZES)
    transformers.BertModel(config).save_pretrained(tmp_path / "encoder")
    make_tokenizer().save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def loaded_from(folder: Any) -> Any:
    """A task model that says where it comes from, with other weights than those there."""
    model = make_model()
    model.config._name_or_path = str(folder)
    return model


def test_a_checkpoints_own_head_gives_its_own_logits(masked_lm_dir: Any) -> None:
    whole = transformers.BertForMaskedLM.from_pretrained(masked_lm_dir).eval()
    ids = torch.tensor([[2, 7, 4, 9, 3], [2, 4, 3, 0, 0]])
    mask = (ids != 0).long()
    with torch.no_grad():
        expected = whole(input_ids=ids, attention_mask=mask).logits.flatten(0, 1)[[2, 6]]
    task_model = loaded_from(masked_lm_dir)
    named = language_model_of(None, None, (), name=str(masked_lm_dir))
    own = language_model_of(task_model, make_tokenizer(), ())
    for model in (named, own):
        assert not model.fitted
        assert not any(
            p.requires_grad for p in [*model.encoder.parameters(), *model.head.parameters()]
        )
        torch.testing.assert_close(model.logits(ids, mask, torch.tensor([2, 6])), expected)


def test_an_encoder_without_a_head_gets_a_fitted_one_or_is_refused(
    headless_dir: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer, task_model = make_tokenizer(), loaded_from(headless_dir)
    with pytest.raises(ModelError, match="has no masked-language-modelling head; name a model"):
        language_model_of(task_model, tokenizer, (), name=str(headless_dir))
    with pytest.raises(ModelError, match="no text for one"):
        language_model_of(task_model, tokenizer, ())
    with caplog.at_level(logging.WARNING):
        model = language_model_of(task_model, tokenizer, [rows_of("the phone")])
    assert model.fitted
    assert "fitted on the run's text" in caplog.text
    with pytest.raises(ModelError, match="nowhere"):
        language_model_of(task_model, tokenizer, (), name="/nowhere/at/all")
    with pytest.raises(ConfigError, match="not loaded from a name or folder"):
        language_model_of(make_model(), tokenizer, ())
