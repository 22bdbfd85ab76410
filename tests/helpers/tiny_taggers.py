"""Tiny taggers of both encoder families, built in memory."""

from __future__ import annotations

import functools
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForTokenClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForTokenClassification,
)

TAGS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
FAMILIES = ("bert", "roberta")


def _bert_tokenizer() -> PreTrainedTokenizerFast:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,'@#&<>\""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{c}" for c in letters)]
    backend = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=32,
    )


def _roberta_tokenizer() -> PreTrainedTokenizerFast:
    alphabet = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {token: i for i, token in enumerate(alphabet)}
    merges = [("Ġ", letter) for letter in "abcdefghijklmnopqrstuvwxyz"]
    for pair in merges:
        vocabulary["".join(pair)] = len(vocabulary)
    backend = Tokenizer(models.BPE(vocabulary, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=32,
        add_prefix_space=True,
    )


@functools.cache
def tagger(family: str) -> tuple[Any, PreTrainedTokenizerFast]:
    """A random model, sharp enough that its tags vary, and its tokenizer."""
    tokenizer = _bert_tokenizer() if family == "bert" else _roberta_tokenizer()
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "id2label": dict(enumerate(TAGS)),
        "label2id": {name: index for index, name in enumerate(TAGS)},
        "initializer_range": 0.5,
    }
    torch.manual_seed(0)
    if family == "bert":
        model: Any = BertForTokenClassification(BertConfig(**shape, max_position_embeddings=32))
    else:
        config = RobertaConfig(**shape, max_position_embeddings=34, pad_token_id=1)
        model = RobertaForTokenClassification(config)
    with torch.no_grad():
        model.classifier.weight *= 3
    return model.eval(), tokenizer
