"""Tiny random encoders of every supported architecture, and a tokenizer for them."""

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from nlp_adapt.data.batches.encoded import pack_rows

WORDS = [f"word{number}" for number in range(90)]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCAB = {token: index for index, token in enumerate(SPECIALS + WORDS)}

_SIZES = {
    "vocab_size": len(VOCAB),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 66,
    "pad_token_id": 0,
}
ARCHITECTURES = {
    "bert": ("BertConfig", _SIZES),
    "roberta": ("RobertaConfig", _SIZES),
    "xlm-roberta": ("XLMRobertaConfig", _SIZES),
    "electra": ("ElectraConfig", {**_SIZES, "embedding_size": 16}),
    "albert": ("AlbertConfig", {**_SIZES, "embedding_size": 16}),
    "mpnet": ("MPNetConfig", _SIZES),
    "deberta-v2": (
        "DebertaV2Config",
        {**_SIZES, "relative_attention": True, "pos_att_type": "p2c"},
    ),
    "modernbert": (
        "ModernBertConfig",
        {**_SIZES, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3},
    ),
    "distilbert": (
        "DistilBertConfig",
        {
            "vocab_size": len(VOCAB),
            "dim": 32,
            "n_layers": 2,
            "n_heads": 2,
            "hidden_dim": 48,
            "max_position_embeddings": 66,
            "pad_token_id": 0,
        },
    ),
}


def tiny_tokenizer():
    """Whole words, [CLS] and [SEP] around a text."""
    tokenizer = Tokenizer(models.WordLevel(VOCAB, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )


def tiny_model(architecture="bert", task="SequenceClassification", labels=2, dropout=0.0, seed=0):
    """A random model of `architecture` with a head for these `labels`, or for so many."""
    torch.manual_seed(seed)
    name, sizes = ARCHITECTURES[architecture]
    config = getattr(transformers, name)(**sizes)
    for key in list(config.to_dict()):
        if "dropout" in key and isinstance(getattr(config, key), float):
            setattr(config, key, dropout)
    if isinstance(labels, int):
        labels = ["negative", "positive", "neutral", "mixed", "other"][:labels]
    names = list(labels)
    config.num_labels = len(names)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}
    return getattr(transformers, f"AutoModelFor{task}").from_config(config)


def random_rows(count, seed, labels=None):
    generator = np.random.default_rng(seed)
    rows = [[2, *generator.integers(5, 90, generator.integers(3, 20)), 3] for _ in range(count)]
    return pack_rows(rows, None if labels is None else generator.integers(0, labels, count))
