"""Sentence and document classification, such as sentiment."""

from typing import Any, ClassVar

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows, pack_rows
from nlp_adapt.metrics import classification_metrics
from nlp_adapt.names import IGNORED_LABEL, SEQUENCE_CLASSIFICATION
from nlp_adapt.tasks.base import Measure, Task


class SequenceClassification(Task):
    """One label for each text."""

    name: ClassVar[str] = SEQUENCE_CLASSIFICATION
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    pipeline_tag: ClassVar[str] = "text-classification"
    measures: ClassVar = (
        Measure("accuracy", "accuracy", "accuracy"),
        Measure("macro_f1", "macro-F1", "f1"),
    )
    main_metric: ClassVar[str] = "macro_f1"

    def encode(self, dataset: Any, tokenizer: Any, max_length: int) -> EncodedRows:
        """Tokenise the column `text`; texts beyond `max_length` tokens are cut."""
        encoded = tokenizer(
            dataset["text"][:],
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        return pack_rows(encoded["input_ids"], self._labels(dataset))

    def metrics(self, logits: np.ndarray, encoded: EncodedRows, dataset: Any) -> dict[str, Any]:
        """Accuracy, F1s, Matthews and the confusion matrix."""
        predictions = logits.argmax(-1).tolist()
        return classification_metrics(encoded.labels.tolist(), predictions, self.label_names)

    def _labels(self, dataset: Any) -> np.ndarray | None:
        if "label" not in dataset.column_names:
            return None
        index = {name: position for position, name in enumerate(self.label_names)}
        names = dataset.features["label"].names
        known = np.array([index[name] for name in names], dtype=np.int64)
        raw = np.asarray(dataset["label"][:], dtype=np.int64)
        return np.where(raw >= 0, known[raw.clip(0)], IGNORED_LABEL)
