"""transformers.Trainer on the labelled rows, of texts or of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from harness import Job, Predict, main
from texts import schedule
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

IGNORED = -100


def train(job: Job) -> Predict:
    """Train, and return what predicts."""
    tokenizer = AutoTokenizer.from_pretrained(job.encoder)
    names = dict(enumerate(job.label_names))
    heads = {True: AutoModelForTokenClassification, False: AutoModelForSequenceClassification}
    model = heads[job.words].from_pretrained(
        job.encoder, id2label=names, label2id={name: number for number, name in names.items()}
    )
    collators = {True: DataCollatorForTokenClassification, False: DataCollatorWithPadding}
    few = job.method.startswith("few_")
    texts = job.texts["source"] + (job.texts["few"] if few else [])
    labels = job.labels["source"] + (job.labels["few"] if few else [])
    optimizer = optimizer_for(job, model)
    trainer = Trainer(
        model=model,
        args=arguments(job),
        train_dataset=Dataset.from_list(encode(job, tokenizer, texts, labels)),
        data_collator=collators[job.words](tokenizer),
        processing_class=tokenizer,
        optimizers=(optimizer, schedule(job, optimizer)),
    )
    trainer.train()
    return lambda texts: answers(trainer, job, tokenizer, texts)


def arguments(job: Job) -> TrainingArguments:
    """The job's settings in Trainer's words; nothing is saved or reported."""
    return TrainingArguments(
        output_dir=job.scratch,
        max_steps=job.steps,
        per_device_train_batch_size=job.batch_size,
        per_device_eval_batch_size=64,
        seed=job.seed,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


def optimizer_for(job: Job, model: Any) -> torch.optim.Optimizer:
    """AdamW with a rate of its own for the new head."""
    new = {id(one) for one in model.classifier.parameters()}
    groups: dict[float, list[Any]] = {job.learning_rate: [], job.head_learning_rate: []}
    for one in model.parameters():
        groups[job.head_learning_rate if id(one) in new else job.learning_rate].append(one)
    sides = [{"params": own, "lr": rate} for rate, own in groups.items()]
    return torch.optim.AdamW(sides, weight_decay=job.weight_decay)


def encode(
    job: Job, tokenizer: Any, texts: Sequence[Any], labels: Sequence[Any] = ()
) -> list[dict[str, Any]]:
    """Rows as Trainer reads them; of a word, the first piece has its tag."""
    found = []
    for number, text in enumerate(texts):
        one = tokenizer(
            text, truncation=True, max_length=job.max_length, is_split_into_words=job.words
        )
        row = dict(one)
        if len(labels):
            row["labels"] = tags_of(one, labels[number]) if job.words else labels[number]
        found.append(row)
    return found


def tags_of(encoded: Any, tags: Sequence[int]) -> list[int]:
    """A tag for the first piece of each word."""
    words = encoded.word_ids()
    return [
        IGNORED if word is None or (place and words[place - 1] == word) else tags[word]
        for place, word in enumerate(words)
    ]


def answers(trainer: Trainer, job: Job, tokenizer: Any, texts: Sequence[Any]) -> list[Any]:
    """Probabilities of texts; of words, a tag each, and O for those that were cut off."""
    rows = encode(job, tokenizer, texts)
    logits = trainer.predict(Dataset.from_list(rows)).predictions
    if not job.words:
        return torch.tensor(logits).softmax(-1).tolist()
    outside = job.label_names.index("O")
    found = []
    for text, scores in zip(texts, logits, strict=True):
        words = tokenizer(
            text, truncation=True, max_length=job.max_length, is_split_into_words=True
        ).word_ids()
        tags = [outside] * len(text)
        for place in reversed(range(len(words))):
            if words[place] is not None:
                tags[words[place]] = int(np.argmax(scores[place]))
        found.append(tags)
    return found


if __name__ == "__main__":
    main(train, "accelerate")
