"""Plain PyTorch for peers that bring no encoder: tokens, batches, features, answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from harness import Job
from torch import nn

PREDICTED = 64  # rows at a time


class TextEncoder(nn.Module):
    """What a classification head of transformers reads: the pooled state, after dropout.

    Args:
        folder: Of the encoder.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        from transformers import AutoModel

        self.model = AutoModel.from_pretrained(folder)
        config = self.model.config
        self.dropout = nn.Dropout(getattr(config, "hidden_dropout_prob", 0.1))
        self.size, self.padding = int(config.hidden_size), config.pad_token_id or 0
        self.initial = getattr(config, "initializer_range", 0.02)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Features of rows."""
        mask = (input_ids != self.padding).long()
        outputs = self.model(input_ids=input_ids, attention_mask=mask)
        pooled = outputs[1] if len(outputs) > 1 else outputs[0][:, 0]
        return self.dropout(pooled)

    def classifier(self, classes: int) -> nn.Linear:
        """A new head, drawn as transformers draws it."""
        head = nn.Linear(self.size, classes)
        nn.init.normal_(head.weight, std=self.initial)
        nn.init.zeros_(head.bias)
        return head


def encode(job: Job, texts: Sequence[str], *, longest: int | None = None) -> torch.Tensor:
    """Token numbers of texts, padded to the longest of them, or to `longest`."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job.encoder)
    width: dict[str, Any] = {"padding": True, "max_length": job.max_length}
    if longest is not None:
        width = {"padding": "max_length", "max_length": longest}
    encoded = tokenizer(list(texts), truncation=True, return_tensors="pt", **width)
    return encoded["input_ids"]


def batches(
    rows: torch.Tensor, job: Job, *others: torch.Tensor
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Batches without end, each as wide as its longest row; shuffled anew for every epoch."""
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(rows, *others), job.batch_size, shuffle=True, drop_last=True)
    while True:
        for ids, *rest in loader:
            yield (cut(ids), *rest)


def cut(ids: torch.Tensor, padding: int = 0) -> torch.Tensor:
    """Rows without the columns that hold padding alone."""
    return ids[:, : int((ids != padding).sum(1).max())]


def adamw(job: Job, encoder: nn.Module, *heads: nn.Module) -> torch.optim.Optimizer:
    """One optimizer: the encoder's rate, and that of everything new."""
    new = [parameter for head in heads for parameter in head.parameters()]
    groups = [
        {"params": list(encoder.parameters()), "lr": job.learning_rate},
        {"params": new, "lr": job.head_learning_rate},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], weight_decay=job.weight_decay
    )


def schedule(job: Job, optimizer: torch.optim.Optimizer) -> Any:
    """Up in a line, then down to 0, step by step."""
    from transformers import get_linear_schedule_with_warmup

    return get_linear_schedule_with_warmup(optimizer, job.warmup_steps, job.steps)


@torch.no_grad()
def probabilities(model: nn.Module, job: Job, texts: Sequence[str]) -> list[list[float]]:
    """Of every class for every text; `model` turns token numbers into logits."""
    model.eval()
    ids = encode(job, texts)
    parts = [model(cut(part)).softmax(-1) for part in ids.split(PREDICTED)]
    return torch.cat(parts).tolist()
