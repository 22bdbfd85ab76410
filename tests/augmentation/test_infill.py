"""Infill of words, and the language model behind it."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from nlp_adapt.augmentation.infill import Infiller, whole_words
from nlp_adapt.augmentation.texts import WordedText
from nlp_adapt.data.batches.encoded import pack_rows
from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.modeling import masked_lm
from nlp_adapt.modeling.masked_lm import (
    MaskedLanguageModel,
    fitted_head,
    language_model,
    named_language_model,
    pretrained_language_model,
)
from nlp_adapt.modeling.mlm_head import fresh_mlm_head
from tests.helpers.tiny_batches import (
    SIZES,
    VOCABULARY,
    make_model,
    make_tokenizer,
    model_that_expects,
)


def worded(*texts: str) -> list[WordedText]:
    return [WordedText.of_text(text) for text in texts]


def fill(infiller: Infiller, texts: list[WordedText], seed: int = 0) -> list[list[str]]:
    return infiller.fill(texts, np.random.default_rng(seed))


def test_single_token_words_are_rewritten_and_every_position_kept() -> None:
    model = model_that_expects("##s", "[UNK]", "phone", "screen")
    infiller = Infiller(model, make_tokenizer(), rate=1.0, top_k=2)
    texts = worded("The films was good", "", "... 3!", "good", "phone")
    filled = fill(infiller, texts)
    assert [len(words) for words in filled] == [len(text.words) for text in texts]
    assert filled[0][1] == "films"  # two pieces: left as it is
    assert set(filled[0][2:]) | set(filled[3]) <= {"phone", "screen"}
    assert filled[2] == ["...", "3", "!"]
    assert filled[4] == ["screen"]  # never by itself
    assert texts[0].words == ["The", "films", "was", "good"]
    assert fill(infiller, texts) == filled
    assert any(fill(infiller, texts, seed) != filled for seed in range(1, 9))


def test_the_rate_holds_and_a_short_text_changes_all_the_same() -> None:
    infiller = Infiller(model_that_expects("phone"), make_tokenizer(), rate=0.3)
    texts = worded(*["good film was the plot"] * 300)
    changed = [
        sum(new != old for new, old in zip(words, text.words, strict=True))
        for words, text in zip(fill(infiller, texts), texts, strict=True)
    ]
    assert min(changed) == 1
    # Five words at 0.3, and one where there would be none.
    assert np.mean(changed) == pytest.approx(1.5 + 0.7**5, abs=0.15)
    assert fill(Infiller(model_that_expects("phone"), make_tokenizer(), rate=0.0), texts[:3]) == [
        text.words for text in texts[:3]
    ]


def test_protected_words_stay_and_only_allowed_ones_come_in() -> None:
    model = model_that_expects("phone", "screen", "plot")
    infiller = Infiller(model, make_tokenizer(), rate=1.0, allowed={"Screen", "dull"}, top_k=1)
    text = WordedText.of_words(["film", "good", "screen"], [True, False, False])
    for seed in range(5):
        assert fill(infiller, [text], seed) == [["film", "screen", "dull"]]
    none = Infiller(model, make_tokenizer(), rate=1.0, allowed={"elsewhere"})
    assert fill(none, [text]) == [text.words]


def test_kept_words_are_neither_rewritten_nor_filled_in() -> None:
    model = model_that_expects("phone", "screen", "plot")
    infiller = Infiller(model, make_tokenizer(), rate=1.0, top_k=1, kept={"Phone", "the"})
    assert fill(infiller, worded("The good phone")) == [["The", "screen", "phone"]]


def test_words_beyond_the_longest_input_stay() -> None:
    infiller = Infiller(model_that_expects("phone"), make_tokenizer(), 1.0, max_length=6)
    (filled,) = fill(infiller, worded("good film was the plot is bad"))
    assert filled[:4] == ["phone"] * 4
    assert filled[4:] == ["plot", "is", "bad"]


def test_the_choice_reads_the_context_of_the_unmasked_words() -> None:
    """The logits are the model's own at the masked place, whatever stands beside it in the batch."""
    model = model_that_expects()
    torch.nn.init.normal_(model.head.dense.weight, std=0.5)
    infiller = Infiller(model, make_tokenizer(), rate=1.0, top_k=1)
    text = WordedText.of_words(["good", "film"], [False, True])
    (alone,) = fill(infiller, [text])
    ids = torch.tensor([[2, 4, VOCABULARY.index("film"), 3]])
    logits = model.logits(ids, torch.ones_like(ids), torch.tensor([1]))[0]
    words = whole_words(make_tokenizer(), len(VOCABULARY))
    best = max((token for token in words if words[token] != "good"), key=lambda i: logits[i])
    assert alone == [words[best], "film"]
    beside = fill(infiller, [text, *worded("the the the the the the the")])
    assert beside[0] == alone


def test_infill_needs_a_mask_token_and_sane_options() -> None:
    tokenizer = make_tokenizer()
    with pytest.raises(ConfigError, match="top_k"):
        Infiller(model_that_expects(), tokenizer, top_k=0)
    tokenizer.mask_token = None
    with pytest.raises(ConfigError, match="mask token"):
        Infiller(model_that_expects(), tokenizer)


@pytest.mark.parametrize("prefix_space", [False, True])
def test_byte_level_tokenizers_of_either_kind_serve(prefix_space: bool) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *alphabet]
    merges = [("o", "n"), ("Ġ", "on"), ("Ġ", "a"), ("Ġ", "b")]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    for pair in merges:
        vocabulary.setdefault("".join(pair), len(vocabulary))
    backend = Tokenizer(models.BPE(vocabulary, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", bos_token="<s>",
        eos_token="</s>", mask_token="<mask>",
    )  # fmt: skip
    config = transformers.BertConfig(vocab_size=len(vocabulary), pad_token_id=1, **SIZES)
    encoder = transformers.BertModel(config).eval()
    head = fresh_mlm_head(encoder)
    with torch.no_grad():
        head.bias[vocabulary["Ġon"]] = 40.0
    infiller = Infiller(MaskedLanguageModel(encoder, head), tokenizer, rate=1.0, top_k=1)
    (filled,) = fill(infiller, worded("x a bc, b."))
    assert filled[1:] == ["on", "bc", ",", "on", "."]


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


def test_a_checkpoints_own_head_gives_its_own_logits(masked_lm_dir: Any) -> None:
    whole = transformers.BertForMaskedLM.from_pretrained(masked_lm_dir).eval()
    ids = torch.tensor([[2, 7, 4, 9, 3], [2, 4, 3, 0, 0]])
    mask = (ids != 0).long()
    with torch.no_grad():
        expected = whole(input_ids=ids, attention_mask=mask).logits.flatten(0, 1)[[2, 6]]
    named = named_language_model(str(masked_lm_dir))
    own = pretrained_language_model(str(masked_lm_dir), make_tokenizer(), ())
    for model in (named, own):
        assert not model.fitted
        assert not any(
            p.requires_grad for p in [*model.encoder.parameters(), *model.head.parameters()]
        )
        torch.testing.assert_close(model.logits(ids, mask, torch.tensor([2, 6])), expected)


def test_an_encoder_without_a_head_gets_a_fitted_one_or_is_refused(
    tiny_model_dir: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ModelError, match="has no masked-language-modelling head; name a model"):
        named_language_model(str(tiny_model_dir))
    with pytest.raises(ModelError, match="no text for one"):
        language_model(make_model().bert, None, make_tokenizer(), ())
    with caplog.at_level(logging.WARNING):
        model = language_model(make_model().bert, None, make_tokenizer(), [rows_of("the phone")])
    assert model.fitted
    assert "fitted on the run's text" in caplog.text
    with pytest.raises(ModelError, match="nowhere"):
        named_language_model("/nowhere/at/all")
