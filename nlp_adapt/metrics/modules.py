"""The metrics as `evaluate.Metric` classes, for `evaluate.combine` and `evaluate.evaluator`.

Instantiate them; they need no network, unlike `evaluate.load`, which runs code from the Hub:

    metric = evaluate.combine([Accuracy(), F1()])
    metric.add_batch(predictions=[0, 1], references=[0, 0])
    metric.compute()

Settings go to the constructor, because `combine` passes those of `compute` to every metric and
`evaluator` passes none. Those of `compute` win.
"""

from collections.abc import Collection, Sequence
from typing import Any

import datasets
import evaluate

from nlp_adapt.errors import DataError
from nlp_adapt.metrics.classification import classification_metrics, f1, matthews
from nlp_adapt.metrics.rows import Tags, check_same_lengths, check_same_rows, label_ids, tag_rows
from nlp_adapt.metrics.spans import span_metrics

Ids = list[int]
Names = Sequence[str] | None


class _OfflineMetric(evaluate.Metric):
    """Checks rows before evaluate casts them, and keeps them in memory.

    evaluate would turn a label of 0.7 into 0 and a tag of 3 into "3" without a word, and its
    cache files stay locked behind a computation that failed.
    """

    feature: Any  # of one reference, and of one prediction
    inputs: str

    def __init__(
        self, *, settings: dict[str, Any] | None = None, num_process: int = 1, **module_options: Any
    ) -> None:
        # Processes that compute together meet in files: evaluate allows memory to one alone.
        module_options.setdefault("keep_in_memory", num_process == 1)
        super().__init__(num_process=num_process, **module_options)
        self.settings = settings or {}

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=(self.__doc__ or "").partition("\n")[0],
            citation="",
            inputs_description=f"\n\nArgs:\n    predictions, references: {self.inputs}\n",
            features=datasets.Features({"predictions": self.feature, "references": self.feature}),
        )

    def _checked(self, references: Any, predictions: Any) -> tuple[list[Any], list[Any]]:
        raise NotImplementedError

    def add(self, *, prediction: Any = None, reference: Any = None, **inputs: Any) -> None:
        """Add one row."""
        # evaluate.combine calls this with the plural names.
        self.add_batch(
            predictions=[inputs.get("predictions", prediction)],
            references=[inputs.get("references", reference)],
        )

    def add_batch(self, *, predictions: Any = None, references: Any = None) -> None:
        """Add rows. An error counts rows from the start of the batch."""
        truth, guesses = self._checked(references, predictions)
        super().add_batch(predictions=guesses, references=truth)

    def compute(
        self, *, predictions: Any = None, references: Any = None, **settings: Any
    ) -> dict[str, Any] | None:
        """Score the rows added so far, and these."""
        if predictions is not None or references is not None:
            self.add_batch(predictions=predictions, references=references)
        if self.num_process == 1 and len(self) == 0:
            raise DataError("There are no rows to score: give at least one labelled row.")
        return super().compute(**{**self.settings, **settings})


class _ClassMetric(_OfflineMetric):
    feature = datasets.Value("int64")
    inputs = "class ids, shape (rows,)"

    def _checked(self, references: Any, predictions: Any) -> tuple[Ids, Ids]:
        truth, guesses = label_ids(references, "references"), label_ids(predictions, "predictions")
        check_same_rows(truth, guesses, "references", "predictions")
        return truth, guesses


class Accuracy(_ClassMetric):
    """Share of rows whose class is right: `accuracy`."""

    def _compute(self, predictions: Ids, references: Ids) -> dict[str, float]:
        return {"accuracy": f1(references, predictions, "micro")}


class F1(_ClassMetric):
    """F1 over the classes that occur among references or predictions: `f1`.

    Args:
        average: "macro", "weighted", "micro", or None for a list with one value for each class
            that occurs, in the order of their ids.
    """

    def __init__(self, average: str | None = "macro", **module_options: Any) -> None:
        super().__init__(settings={"average": average}, **module_options)

    def _compute(self, predictions: Ids, references: Ids, average: str | None) -> dict[str, Any]:
        return {"f1": f1(references, predictions, average)}


class Matthews(_ClassMetric):
    """Matthews correlation coefficient: `matthews`, 0 where it is undefined."""

    def _compute(self, predictions: Ids, references: Ids) -> dict[str, float]:
        return {"matthews": matthews(references, predictions)}


class ClassificationReport(_ClassMetric):
    """Everything that `classification_metrics` returns.

    Args:
        label_names: The name of each class id; without them, ids stand for names.
    """

    def __init__(self, label_names: Sequence[str] | None = None, **module_options: Any) -> None:
        super().__init__(settings={"label_names": label_names}, **module_options)

    def _compute(self, predictions: Ids, references: Ids, label_names: Names) -> dict[str, Any]:
        if label_names is None:
            label_names = [str(label) for label in range(max(*references, *predictions) + 1)]
        return classification_metrics(references, predictions, label_names)


class ClassF1(ClassificationReport):
    """F1 of each class, by name: `class_f1`. Classes that do not occur score 0.

    Args:
        label_names: The name of each class id; without them, ids stand for names.
    """

    def _compute(self, predictions: Ids, references: Ids, label_names: Names) -> dict[str, Any]:
        per_class = super()._compute(predictions, references, label_names)["per_class"]
        return {"class_f1": {name: scores["f1"] for name, scores in per_class.items()}}


class SpanF1(_OfflineMetric):
    """Everything that `span_metrics` returns, save novelty, which needs the words."""

    feature = datasets.List(datasets.Value("string"))
    inputs = "BIO tags, one list a sentence"

    def __init__(self, model_types: Collection[str] | None = None, **module_options: Any) -> None:
        super().__init__(settings={"model_types": model_types}, **module_options)

    def _checked(self, references: Any, predictions: Any) -> tuple[Tags, Tags]:
        truth, guesses = tag_rows(references, "references"), tag_rows(predictions, "predictions")
        check_same_lengths(truth, guesses, "references", "predictions")
        return truth, guesses

    def _compute(
        self, predictions: Tags, references: Tags, model_types: Collection[str] | None
    ) -> dict[str, Any]:
        return span_metrics(references, predictions, model_types=model_types)
