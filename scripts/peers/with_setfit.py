"""SetFit on the target's labelled rows, as its quickstart has it."""

from __future__ import annotations

from datasets import Dataset
from harness import Job, Predict, main
from setfit import SetFitModel, Trainer, TrainingArguments


def train(job: Job) -> Predict:
    """Train, and return what predicts."""
    model = SetFitModel.from_pretrained(job.encoder)
    model.model_body.max_seq_length = job.max_length
    rows = Dataset.from_dict({"text": job.texts["few"], "label": job.labels["few"]})
    args = TrainingArguments(
        output_dir=job.scratch,
        seed=job.seed,
        save_strategy="no",
        report_to="none",
        show_progress_bar=False,
    )
    Trainer(model=model, args=args, train_dataset=rows).train()
    return lambda texts: model.predict_proba(list(texts), as_numpy=True).tolist()


if __name__ == "__main__":
    main(train, "setfit", "sentence-transformers")
