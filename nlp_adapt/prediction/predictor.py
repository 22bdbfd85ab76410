"""Logits for encoded rows in batches, and labels for new texts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from nlp_adapt.data.batches.encoded import EncodedRows, budget_batches
from nlp_adapt.escaping import for_bars, one_line
from nlp_adapt.modeling.architectures import output_layer
from nlp_adapt.modeling.cpu import autocast, prepare_prediction
from nlp_adapt.modeling.pretrained import reorder_head
from nlp_adapt.modeling.tokenizers import reading_length
from nlp_adapt.modeling.units import FeatureTap, unit_logits
from nlp_adapt.names import name_labels
from nlp_adapt.prediction.given_texts import read_texts
from nlp_adapt.prediction.tagged_text import tag_texts
from nlp_adapt.tasks import Task


def predict_logits(
    task_model: Any,
    rows: EncodedRows,
    *,
    pad_id: int,
    batch_size: int = 64,
    precision: str = "fp32",
    process: int = 0,
    processes: int = 1,
    features: np.ndarray | None = None,
    told: Callable[[int], Any] | None = None,
) -> np.ndarray:
    """Logits `[units, classes]` in float32, in the order of the rows' units.

    Rows are sorted by length and batched by a token budget, so that little is spent on padding.
    With several processes each fills its own share and leaves zeros elsewhere: the sum over
    processes is the whole.

    Args:
        batch_size: A quarter of the most rows in a batch; longer rows come in smaller batches.
        process: Number of this process, of `processes` that share the rows.
        told: Is told how many rows each batch had, such as a progress bar.
    """
    logits = np.zeros((rows.units, task_model.config.num_labels), dtype=np.float32)
    device = next(task_model.parameters()).device
    was_training = task_model.training
    task_model.eval()
    batches = prediction_batches(
        rows, device, pad_id=pad_id, batch_size=batch_size, share=(process, processes)
    )
    tap = None if features is None else FeatureTap(task_model)
    with torch.inference_mode(), autocast(device, precision):
        for chosen, batch in batches:
            units = rows.units_of(chosen)
            logits[units] = unit_logits(task_model, batch).float().cpu().numpy()
            if tap is not None and features is not None:
                features[units] = tap.take(batch).float().cpu().numpy()
            if told is not None:
                told(len(chosen))
    if tap is not None:
        tap.remove()
    task_model.train(was_training)
    return logits


def prediction_batches(
    rows: EncodedRows,
    device: torch.device,
    *,
    pad_id: int,
    batch_size: int = 64,
    share: tuple[int, int] = (0, 1),
) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """All rows, sorted by length, in batches of about as many tokens: indices, and what is collated.

    Of several processes, `share` is the number of this one and how many there are.
    """
    return budget_batches(
        rows,
        device,
        tokens=prepare_prediction(device),
        most_rows=4 * batch_size,
        pad_id=pad_id,
        share=share,
    )


@contextmanager
def rows_bar(label: str, rows: int, *, shown: bool) -> Iterator[Callable[[int], Any]]:
    """A progress bar for rows that a model reads, not to train on them; gives what moves it."""
    from tqdm import tqdm

    with tqdm(
        total=rows, desc=one_line(label), unit="row", file=for_bars(), disable=not shown,
        dynamic_ncols=True,
    ) as bar:  # fmt: skip
        yield bar.update


class Predictor:
    """Labels for new texts with a saved model.

    Args:
        batch_size: Rows per batch; longer rows come in smaller batches.
        max_length: Longest row in tokens; None for what the tokenizer states, which a run sets to its
            own `max_length`, and 512 at most where it states nothing.
    """

    def __init__(
        self,
        task_model: Any,
        tokenizer: Any,
        task: Task,
        *,
        precision: str = "fp32",
        batch_size: int = 64,
        max_length: int | None = None,
    ) -> None:
        self.task_model = task_model
        self.tokenizer = tokenizer
        self.task = task
        self.precision = precision
        self.batch_size = batch_size
        self.max_length = reading_length(task_model.config, tokenizer, max_length)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Class names in index order."""
        return self.task.label_names

    def take_labels(self, task: Task, order: Sequence[int]) -> None:
        """Name the labels as `task` does, whose outputs are those of the model in this `order`."""
        reorder_head(self.task_model, order)
        name_labels(self.task_model.config, task.label_names)
        self.task = task

    def logits(self, rows: EncodedRows, told: Callable[[int], Any] | None = None) -> np.ndarray:
        """Logits `[units, classes]` of encoded rows; `told` is told how many rows were read."""
        return self._read(rows, told=told)

    def logits_and_features(self, rows: EncodedRows) -> tuple[np.ndarray, np.ndarray]:
        """Logits `[units, classes]`, and what the classifier reads of each unit `[units, width]`."""
        width = output_layer(self.task_model).in_features
        features = np.zeros((rows.units, width), dtype=np.float32)
        return self._read(rows, features), features

    def predict_with_features(
        self, texts: str | Iterable[str]
    ) -> tuple[list[dict[str, Any]], np.ndarray]:
        """The predictions of `predict` for sentence tasks, and the features `[texts, width]`."""
        logits, features = self.logits_and_features(self._encode(read_texts(texts)))
        return self._answers(logits), features

    def predict(self, texts: str | Iterable[str]) -> list[dict[str, Any]]:
        """Predictions for each text, in order; a single text gives a list of one.

        Sentence tasks give `label`, `score` and `scores` by label name; token tasks give the words
        with their tags, and the entities with character offsets.

        Args:
            texts: A text, or a list, tuple, array or column of texts.

        Raises:
            DataError: If there is anything else among them, such as None or a whole data frame.
        """
        texts = read_texts(texts)
        if not texts:
            return []
        if self.task.units_are_words:
            return [tagged.to_dict() for tagged in tag_texts(self, texts)]
        return self._answers(self.logits(self._encode(texts)))

    def _read(
        self,
        rows: EncodedRows,
        features: np.ndarray | None = None,
        told: Callable[[int], Any] | None = None,
    ) -> np.ndarray:
        return predict_logits(
            self.task_model,
            rows,
            pad_id=self.tokenizer.pad_token_id or 0,
            batch_size=self.batch_size,
            precision=self.precision,
            features=features,
            told=told,
        )

    def _encode(self, texts: list[str]) -> EncodedRows:
        from datasets import Dataset

        dataset = Dataset.from_dict({"text": texts})
        return self.task.encode(dataset, self.tokenizer, self.max_length)

    def _answers(self, logits: np.ndarray) -> list[dict[str, Any]]:
        """`label`, `score` and `scores` from logits `[texts, classes]`."""
        shifted = np.exp(logits - logits.max(-1, keepdims=True))
        scores = shifted / shifted.sum(-1, keepdims=True)
        return [
            {
                "label": self.label_names[int(row.argmax())],
                "score": float(row.max()),
                "scores": dict(zip(self.label_names, map(float, row), strict=True)),
            }
            for row in scores
        ]
