"""Infill of words, and the language model behind it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
import transformers

from nlp_adapt.augmentation.edits import Choice
from nlp_adapt.augmentation.infill import Infill, common_words, whole_words
from nlp_adapt.augmentation.rows import RowEditor
from nlp_adapt.data.domain import make_dataset
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.masked_lm import (
    MaskedLanguageModel,
)
from nlp_adapt.modeling.mlm_head import fresh_mlm_head
from nlp_adapt.names import SEQUENCE_CLASSIFICATION
from tests.helpers.tiny_batches import (
    SIZES,
    VOCABULARY,
    make_tokenizer,
    model_that_expects,
)
from tests.helpers.word_grids import WORD, ids_of, tokens_as_words


def infill_of(*words: str, counts: Any = (), allowed: Any = None, top_k: int = 1) -> Infill:
    tokenizer = make_tokenizer()
    whole = whole_words(tokenizer, len(VOCABULARY))
    model = model_that_expects(*words)
    return Infill(model, tokenizer, whole, Counter(counts), allowed, top_k)


def test_whole_words_are_rewritten_by_others_and_never_by_themselves() -> None:
    torch.manual_seed(0)
    before = tokens_as_words("the film ##s was phone", times=400)
    after = infill_of("##s", "[UNK]", "phone", "screen", top_k=2)(before, Choice(0.5)).ids
    assert torch.equal(after[:, [0, 2, 3, 6]], before.ids[:, [0, 2, 3, 6]])
    words = after[:, [1, 4, 5]]
    changed = words != before.ids[:, [1, 4, 5]]
    assert changed.float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert set(words[changed].tolist()) == {WORD["phone"], WORD["screen"]}
    assert set(after[:, 5].tolist()) == {WORD["phone"], WORD["screen"]}  # its own place: screen


def test_the_most_frequent_words_are_left_alone() -> None:
    counts = ["The", "the", "is", "Is", "film", "good", "bad", "fine", "dull"]
    infill = infill_of("the", "is", "phone", counts=counts)
    after = infill(tokens_as_words("the film is good"), Choice(1.0)).ids
    assert torch.equal(after, ids_of("the phone is phone"))


def test_only_allowed_words_come_in() -> None:
    infill = infill_of("phone", "screen", "plot", allowed={"screen", "dull"})
    after = infill(tokens_as_words("film screen"), Choice(1.0)).ids
    assert torch.equal(after, ids_of("screen dull"))
    none = infill_of("phone", allowed={"elsewhere"})
    assert torch.equal(none(tokens_as_words("film good"), Choice(1.0)).ids, ids_of("film good"))


def test_the_choice_reads_the_words_around_from_the_masked_row() -> None:
    """The logits are the model's own at the masked place, whatever stands beside it in the batch."""
    tokenizer, model = make_tokenizer(), model_that_expects()
    torch.nn.init.normal_(model.head.dense.weight, std=0.5)
    words = whole_words(tokenizer, len(VOCABULARY))
    infill = Infill(model, tokenizer, words, {}, top_k=1)
    masked = ids_of("film ##s [MASK]")
    logits = model.logits(masked, torch.ones_like(masked), torch.tensor([3]))[0]
    best = max((token for token in words if token != WORD["good"]), key=lambda i: logits[i])
    alone = infill(tokens_as_words("film ##s good"), Choice(1.0)).ids
    assert alone[0, 3] == best
    beside = infill(tokens_as_words("film ##s good", "the the the"), Choice(1.0)).ids
    assert torch.equal(beside[:1], alone)


def test_texts_without_words_to_rewrite_are_left_as_they_are() -> None:
    before = tokens_as_words("film ##s")
    assert infill_of("phone")(before, Choice(1.0)) is before


def test_the_language_model_follows_to_another_format_but_is_not_saved() -> None:
    infill = infill_of("phone")
    assert {name.split(".")[0] for name in infill.state_dict()} == {"head"}
    assert not any("encoder" in name for name, _ in infill.named_parameters())
    infill.double()
    assert next(infill._model[0].encoder.parameters()).dtype == torch.float64
    assert not infill.train().training


def test_infill_needs_a_mask_token() -> None:
    tokenizer = make_tokenizer()
    tokenizer.mask_token = None
    with pytest.raises(ConfigError, match="no mask token"):
        Infill(model_that_expects(), tokenizer, {}, {})


def test_common_words_make_up_half_of_a_text() -> None:
    assert common_words({"The": 30, "the": 20, "of": 30, "film": 15, "plot": 5}) == {"the"}
    assert common_words({"the": 40, "of": 10, "film": 50}) == {"film"}
    assert common_words({}) == set()


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
    texts = ["x a bc, b.", "x bc x bc"]
    dataset = make_dataset(SEQUENCE_CLASSIFICATION, texts, ["1", "2"], [0, 1], ("no", "yes"))
    model = MaskedLanguageModel(encoder, head)
    editor = RowEditor("infill", 1.0, [dataset], tokenizer=tokenizer, language_model=model)
    (words, positions), _ = editor.edited_words((0,))
    assert words[1:] == ["on", "bc", ",", "on", "."]
    assert positions == list(range(6))
