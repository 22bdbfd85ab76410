"""sentence-transformers: embeddings, as they are or tuned on labelled rows, and a logistic regression."""

from __future__ import annotations

from datasets import Dataset
from harness import Job, Predict, main
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
    losses,
)
from sklearn.linear_model import LogisticRegression


def train(job: Job) -> Predict:
    """Train, and return what predicts."""
    side = "few" if job.method.startswith("few_") else "source"
    model = SentenceTransformer(job.encoder)
    model.max_seq_length = job.max_length
    texts, labels = job.texts[side], job.labels[side]
    if side == "few":
        SentenceTransformerTrainer(
            model=model,
            args=arguments(job),
            train_dataset=Dataset.from_dict({"text": texts, "label": labels}),
            loss=losses.BatchAllTripletLoss(model),
        ).train()
    head = LogisticRegression(max_iter=1000).fit(model.encode(texts), labels)
    return lambda given: head.predict_proba(model.encode(list(given))).tolist()


def arguments(job: Job) -> SentenceTransformerTrainingArguments:
    """The job's settings; nothing is saved or reported."""
    return SentenceTransformerTrainingArguments(
        output_dir=job.scratch,
        max_steps=job.steps,
        per_device_train_batch_size=job.batch_size,
        learning_rate=job.learning_rate,
        weight_decay=job.weight_decay,
        warmup_steps=job.warmup_steps,
        seed=job.seed,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


if __name__ == "__main__":
    main(train, "sentence-transformers")
