"""Data that Python holds, scored and labelled by a trained model."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nlp_adapt.data.columns import ReadOptions, find_text
from nlp_adapt.data.domain import Domain
from nlp_adapt.data.labels import NO_LABELS, LabelMap
from nlp_adapt.data.loading import load_domain
from nlp_adapt.data.reading.references import Reader, read_reference
from nlp_adapt.data.reading.rows import (
    UnusableCellError,
    is_column,
    is_missing,
    read_text,
    read_tokens,
)
from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.prediction.evaluation import UsersMetrics, evaluate
from nlp_adapt.prediction.predictor import Predictor
from nlp_adapt.prediction.tagged_text import tag_words
from nlp_adapt.tasks import Task


def evaluate_given(
    predictor: Predictor,
    data: Any,
    split: str | None = None,
    label_map: Mapping[str, str] | None = None,
    users: UsersMetrics | None = None,
) -> dict[str, Any]:
    """Metrics of a model on labelled rows, or, of a dict, those of each by its name.

    Args:
        data: A domain, or whatever `load_domain` reads.
        split: The rows to score; by default those of test, or all where there is none.
        label_map: Label -> class name of data that is no domain yet.
        users: A user's metrics, which stand beside the task's.

    Raises:
        DataError: If there are no such rows, or none that carry labels of the model.
    """
    if type(data) is dict:  # a DatasetDict is one reference
        return {
            str(name): evaluate_given(predictor, one, split, label_map, users)
            for name, one in data.items()
        }
    domain = _domain(data, predictor.task.name, label_map)
    metrics: dict[str, Any] = evaluate(predictor, domain, split, users=users)["metrics"]
    return metrics


def named_domains(given: Any, task: Task) -> dict[str, Domain]:
    """Labelled domains by name, with the labels in the order of the task.

    Raises:
        AdaptationError: If `given` is no dict, or one of them has no labelled rows of the task.
    """
    if type(given) is not dict:
        raise ConfigError(
            f"eval_dataset is a {type(given).__name__}, but must be a dict: give each a name, such "
            "as {'films': rows}."
        )
    found = {}
    for name, one in given.items():
        if name in ("source", "target"):
            raise ConfigError(f"eval_dataset: '{name}' is what a run's own test rows are called.")
        domain = _domain(one, task.name, None).with_labels(task.label_names)
        if domain.label_names is None:
            raise DataError(f"eval_dataset: {name} has no labelled rows to score.")
        found[str(name)] = replace(domain, name=str(name))
    return found


def predict_given(
    predictor: Predictor, data: Any, split: str | None = None
) -> list[dict[str, Any]]:
    """What `Predictor.predict` says of each row, in order, whatever holds the rows.

    Args:
        data: Texts; a Dataset, a data frame or a list of dicts, whose column of texts (or of words)
            is recognised; or a domain.
        split: Of a domain, the rows to label; by default those of test, or all where there is none.

    Raises:
        DataError: If `data` is something else, or a row has no text.
    """
    if isinstance(data, Domain):
        return _of_domain(predictor, data, split)
    if split is not None:
        raise DataError(f"split is for a Domain: a {type(data).__name__} has none, leave it out.")
    if isinstance(data, Mapping):
        raise DataError(
            f"a {type(data).__name__} holds several data sets: give one of "
            f"{', '.join(map(str, data)) or 'its values'}."
        )
    table_like = hasattr(data, "columns") or hasattr(data, "column_names")
    rows = isinstance(data, (list, tuple)) and any(isinstance(one, Mapping) for one in data)
    if (table_like and not is_column(data)) or rows:
        return _of_table(predictor, data)
    if predictor.task.units_are_words and _holds_lists(data):
        return [tagged.to_dict() for tagged in tag_words(predictor, data)]
    return predictor.predict(data)


def _domain(data: Any, task: str, label_map: Mapping[str, str] | None) -> Domain:
    if isinstance(data, Domain):
        _check_task(data, task)
        return data
    if isinstance(data, (list, tuple)) and not data:
        raise DataError("there are no rows to score: the list is empty.")
    mapping = None if label_map is None else LabelMap(label_map)
    return load_domain(data, task=task, test_fraction=0.0, label_map=mapping)


def _holds_lists(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and any(isinstance(one, (list, tuple)) for one in data)


def _of_domain(predictor: Predictor, domain: Domain, split: str | None) -> list[dict[str, Any]]:
    _check_task(domain, predictor.task.name)
    if split is not None and split not in domain.splits:
        raise DataError(
            f"{domain.name} has no {split} rows: choose one of {', '.join(domain.splits)}."
        )
    chosen = [split] if split else ["test"] if domain.test else [*domain.splits]
    cells = [cell for name in chosen for cell in domain.splits[name][domain.text_column][:]]
    if not predictor.task.units_are_words:
        return predictor.predict(cells)
    return [tagged.to_dict() for tagged in tag_words(predictor, cells)] if cells else []


def _of_table(predictor: Predictor, data: Any) -> list[dict[str, Any]]:
    """Of the rows of an object with columns; each keeps its place."""
    task, words = predictor.task.name, predictor.task.units_are_words
    (source,) = read_reference(data, Reader(task))
    ((table,),) = source.splits.values()
    if not len(table):
        return []
    column, is_text = find_text(table, ReadOptions(task=task, label_column=NO_LABELS))
    read = read_text if is_text or not words else read_tokens
    texts: list[Any] = []
    for i, cell in enumerate(table.columns[column]):
        if is_missing(cell):
            raise DataError(
                f"{table.locate(i)} has nothing in '{column}': leave it out, or give '' instead."
            )
        try:
            texts.append(read(cell))
        except UnusableCellError as error:
            raise DataError(f"{table.locate(i)} {error}") from None
    if words and not is_text:
        return [tagged.to_dict() for tagged in tag_words(predictor, texts)]
    return predictor.predict(texts)


def _check_task(domain: Domain, task: str) -> None:
    if domain.task != task:
        raise DataError(f"{domain.name} was read for {domain.task}, but the model is for {task}.")
