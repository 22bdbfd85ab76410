"""A tiny tokenizer, random encoders and batches, made in memory."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from nlp_adapt.data.batches.encoded import EncodedRows, collate, pack_rows, to_tensors
from nlp_adapt.modeling.masked_lm import MaskedLanguageModel
from nlp_adapt.modeling.mlm_head import fresh_mlm_head
from nlp_adapt.modeling.outputs import Progress
from nlp_adapt.modeling.units import UnitReader
from nlp_adapt.objectives import Setup, StepView

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    "film",
    "plot",
    "actor",
    "good",
    "bad",
    "fine",
    "dull",
    "phone",
    "screen",
    "battery",
    "cheap",
    "solid",
    "was",
    "is",
    "the",
    "a",
]
VOCABULARY = [*SPECIALS, *WORDS, "##s", "##ly", "##ness"]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 48, "max_position_embeddings": 40}  # fmt: skip


def make_tokenizer() -> Any:
    """A WordPiece tokenizer over `VOCABULARY`."""
    vocabulary = {token: index for index, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip


def make_model(
    kind: str = "bert", token_level: bool = False, dropout: float = 0.1, seed: int = 0
) -> Any:
    """A random encoder with a task head for two classes."""

    kinds = {"bert": transformers.BertConfig, "roberta": transformers.RobertaConfig}
    config = kinds[kind](
        vocab_size=len(VOCABULARY), num_labels=2, pad_token_id=0, hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout, initializer_range=0.3, **SIZES,
    )  # fmt: skip
    task = "TokenClassification" if token_level else "SequenceClassification"
    torch.manual_seed(seed)
    return getattr(transformers, f"AutoModelFor{task}").from_config(config)


def make_rows(
    token_level: bool = False, rows: int = 6, domain: int = 0, seed: int = 0
) -> EncodedRows:
    """Random rows of 4 to 12 tokens with labels; words are all tokens but the specials."""
    generator = torch.Generator().manual_seed(seed + 100 * domain)
    texts, labels, positions, counts = [], [], [], []
    for _ in range(rows):
        length = int(torch.randint(2, 11, (1,), generator=generator))
        inner = torch.randint(5, len(VOCABULARY), (length,), generator=generator)
        texts.append([2, *inner.tolist(), 3])
        units = length if token_level else 1
        labels += torch.randint(2, (units,), generator=generator).tolist()
        positions += range(1, length + 1)
        counts.append(units)
    packed = pack_rows(texts, None if token_level else labels).in_domain(domain)
    if not token_level:
        return packed

    return dataclasses.replace(
        packed,
        labels=np.array(labels),
        unit_offsets=np.concatenate([[0], np.cumsum(counts)]),
        positions=np.array(positions),
        words=np.arange(len(labels)),
        total_words=len(labels),
    )


def make_batch(
    token_level: bool = False, source: int = 4, target: int = 3, width: int = 16
) -> dict[str, Any]:
    """Source and target rows as the loop hands them over."""

    sides = {"source": source, "target": target}
    parts, counts = [], {}
    for domain, (name, size) in enumerate(sides.items()):
        rows = make_rows(token_level, max(size, 1), domain)
        rows = rows.without_labels() if name == "target" else rows
        parts.append((rows, np.arange(size)))
        units = int(rows.unit_counts[:size].sum())
        counts[f"{name}_count"] = float(units)
        counts[f"{name}_labelled"] = float(units) if name == "source" else 0.0
    batch = to_tensors(collate(parts, width=width, pad_id=0))
    return {**batch, "source_units": int(counts["source_count"]), **counts}


def make_view(model: Any, batch: dict[str, Any], step: int = 5, total: int = 10) -> StepView:
    """What an objective sees of a batch."""
    reader = UnitReader(model)
    return StepView(
        batch=batch,
        progress=Progress(step, total),
        encode=lambda inputs: reader.read(model, inputs),
        task_model=model,
    )


def make_setup(model: Any, token_level: bool = False) -> Setup:
    """What an objective knows when it is built."""
    return Setup(
        features=32, num_labels=2, label_counts=torch.tensor([3.0, 1.0]), task_model=model,
        tokenizer=make_tokenizer(), token_level=token_level,
    )  # fmt: skip


def model_that_expects(*words: str) -> MaskedLanguageModel:
    """A language model that, by its output bias alone, expects these words, the first one most."""
    encoder = make_model(dropout=0.0).bert
    head = fresh_mlm_head(encoder)
    with torch.no_grad():
        for number, word in enumerate(words):
            head.bias[VOCABULARY.index(word)] = 30.0 - 2.0 * number
    return MaskedLanguageModel(encoder.eval(), head)
