"""Scoring a task model: on labelled rows, and by what can be said without target labels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from nlp_adapt.data.batches.encoded import EncodedRows, budget_batches, concatenate
from nlp_adapt.metrics.classification import mean_metrics, named_numbers
from nlp_adapt.modeling.architectures import output_layer
from nlp_adapt.modeling.units import UnitReader, without_dropout
from nlp_adapt.objectives import Objective
from nlp_adapt.objectives.auxiliary import Auxiliary, answered_right, as_source
from nlp_adapt.prediction.evaluation import UsersMetrics
from nlp_adapt.prediction.predictor import predict_logits
from nlp_adapt.prediction.yardsticks import yardsticks
from nlp_adapt.tasks import Task
from nlp_adapt.training.accelerator import summed
from nlp_adapt.training.inputs.data import EvaluationSet, RunData
from nlp_adapt.validators import Predictions, features_are_read, score_all
from nlp_adapt.validators.guard import describe
from nlp_adapt.validators.scores import MOST_UNITS, estimated_shares, proxy_a_distance

TOKENS_PER_BATCH = 4096


@dataclass(frozen=True)
class Scorer:
    """Scores models on the evaluation sets of a run.

    Args:
        accelerator: Shares the rows among the processes of a run, which must then all score; None
            scores all rows here.
        target_shares: `[classes]` shares of the target's classes, where the user knows them: label-free
            scores during training then judge predictions that keep to them.
        users_metrics: Stand under `compute_metrics` beside the task's.
        told: Is told of each batch of rows that was read.
        seen: Takes logits and labels of the rows that were read last: of both sides' test rows, and
            of the source's validation rows by `examine`.
    """

    task: Task
    data: RunData
    pad_id: int
    batch_size: int
    accelerator: Any = None
    target_shares: np.ndarray | None = None
    users_metrics: UsersMetrics | None = None
    told: Callable[[int], Any] | None = None
    seen: dict[str, list[tuple[np.ndarray, np.ndarray]]] = field(default_factory=dict)

    def tests(self, model: Any) -> dict[str, dict[str, Any] | None]:
        """Test metrics of both sides, in float32; None where there are no labelled test rows.

        Of a side with several domains, these are the means over its domains, and the metrics of
        each under `domains`. The target's hold its yardsticks as well, which are for reading only.
        """
        return {side: self._side(model, f"{side}_test", "fp32") for side in ("source", "target")}

    def validation(self, model: Any, precision: str) -> dict[str, float]:
        """Scores during training: the task's metrics on source validation rows, and label-free ones.

        Those of the task are named `source_validation/...`; the others as in `VALIDATORS`. No target
        label is read. Of several sources, the former are means, and each source's own are named
        `source_validation/SOURCE/...`.
        """
        sets = self.data.evaluation.get("source_validation", {})
        with_features = features_are_read()
        read = {
            name: self.read(model, rows.encoded, precision, features=with_features)
            for name, rows in sets.items()
        }
        metrics = {name: self._metrics(read[name][0], rows) for name, rows in sets.items()}
        scores = named_numbers("source_validation", mean_metrics([*metrics.values()]))
        if len(metrics) > 1:
            for name, own in metrics.items():
                scores.update(named_numbers(f"source_validation/{name}", own))
        sample = self.data.target_sample
        target: tuple[Any, Any] = (None, None)
        if sample is not None:
            target = self.read(model, sample, precision, features=with_features)
            if self.target_shares is not None:
                from nlp_adapt.metrics.class_shares import aligning_bias

                logits, features = target
                target = logits + aligning_bias(logits, self.target_shares), features
        source = joined([logits for logits, _ in read.values()])
        held = concatenate([rows.encoded for rows in sets.values()]) if sets else None
        quality = self.source_quality(source, held)
        predictions = Predictions(
            source,
            None if held is None else held.labels,
            target[0],
            source_features=joined([features for _, features in read.values()]),
            target_features=target[1],
            target_shares=self.target_shares,
            source_quality=None if quality is None else quality[0],
        )
        return {**scores, **score_all(predictions)}

    def source_quality(self, logits: Any, rows: EncodedRows | None) -> tuple[float, float] | None:
        """What the task selects by on the source, and its variance; see `Task.source_quality`."""
        return None if rows is None else self.task.source_quality(logits, rows)

    @torch.no_grad()
    def auxiliary(
        self, objective: Objective | None, model: Any, domain_features: str
    ) -> dict[str, dict[str, float]]:
        """Accuracy of each auxiliary task's head on its held-out rows, in float32.

        Args:
            objective: The heads (`Auxiliary`), as trained; None where no stage had any.

        Returns:
            For each task that holds rows out: `accuracy`, `largest_class`, what always saying the
            most frequent class would give, and `count`, the labelled rows (or words).
        """
        held_out = self.data.auxiliary_validation
        if not isinstance(objective, Auxiliary) or not held_out:
            return {}
        reader = UnitReader(model, domain_features)
        found = {}
        with without_dropout(model), without_dropout(objective):
            for task in objective.tasks:
                if task.name in held_out:
                    answers = [
                        objective.answers(task, partial(reader.read, model), model, batch)
                        for batch in self._source_batches(model, held_out[task.name])
                    ]
                    logits, labels = (torch.cat(parts) for parts in zip(*answers, strict=True))
                    found[task.name] = answered_right(logits, labels)
        reader.remove()
        return found

    def _source_batches(self, model: Any, rows: EncodedRows) -> Iterator[dict[str, Any]]:
        """All rows, each batch as one of the source alone."""
        device = next(model.parameters()).device
        batches = budget_batches(
            rows, device, tokens=TOKENS_PER_BATCH, most_rows=self.batch_size, pad_id=self.pad_id
        )
        for _, batch in batches:
            yield as_source(batch, 1.0, 1.0)

    def _side(self, model: Any, part: str, precision: str) -> dict[str, Any] | None:
        """Metrics on the rows of a part, such as `source_test`."""
        scores = {}
        self.seen[part] = []
        for name, rows in self.data.evaluation.get(part, {}).items():
            logits, _ = self.read(model, rows.encoded, precision)
            self.seen[part].append((logits, rows.encoded.labels))
            own = self._metrics(logits, rows)
            if part == "target_test":
                own |= yardsticks(self.task, logits, rows.encoded, rows.dataset, own)
            scores[name] = own
        if not scores:
            return None
        if len(self.data.names(part.partition("_")[0])) < 2:
            (only,) = scores.values()
            return only
        return {**mean_metrics([*scores.values()]), "domains": scores}

    def _metrics(self, logits: np.ndarray, rows: EvaluationSet) -> dict[str, Any]:
        own = self.task.metrics(logits, rows.encoded, rows.dataset)
        if self.users_metrics is None:
            return own
        users = self.users_metrics(logits, rows.encoded, rows.dataset)
        return {**own, "compute_metrics": users}

    def read(
        self, model: Any, rows: EncodedRows, precision: str = "fp32", *, features: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Logits `[units, classes]` of all rows, in every process alike.

        Args:
            features: Whether to return what the classifier reads `[units, width]` as well.
        """
        run = self.accelerator
        seen = None
        if features:
            seen = np.zeros((rows.units, output_layer(model).in_features), dtype=np.float32)
        logits = predict_logits(
            model,
            rows,
            pad_id=self.pad_id,
            batch_size=self.batch_size,
            precision=precision,
            process=0 if run is None else run.process_index,
            processes=1 if run is None else run.num_processes,
            features=seen,
            told=self.told,
        )
        return summed(run, logits), None if seen is None else summed(run, seen)


def joined(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Arrays one after the other; None where there is nothing, or a part is missing."""
    found = [part for part in parts if part is not None]
    return np.concatenate(found) if found and len(found) == len(parts) else None


def score_trained(
    scorer: Scorer,
    model: Any,
    seed: int,
    *,
    with_labels: bool = False,
    kept: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Put a trained model's decisions right where the target's shares are told, and score it.

    Args:
        seed: Of the sample that the domain distance is measured on.
        with_labels: Whether the target's labelled sample, if there is one, may tell the shares.
        kept: The class shares to keep to where nothing tells them.
    """
    labelled = scorer.data.labelled_sample if with_labels else None
    if scorer.target_shares is None and labelled is None and kept is None:
        return {**scorer.tests(model), **examine(scorer, model, seed)}
    from nlp_adapt.training.class_shares import align_model

    # The sample is read again for the scores, which is when it counts.
    told, bias = align_model(replace(scorer, told=None), model, labelled, kept)
    scores = {**scorer.tests(model), **examine(scorer, model, seed, bias)}
    return {**scores, "class_shares": {**told, **(scores["class_shares"] or {})}}


def examine(
    scorer: Scorer, model: Any, seed: int, bias: np.ndarray | float = 0.0
) -> dict[str, Any]:
    """Read the sources' validation rows and a sample of the targets' text with a model, in float32.

    Args:
        seed: Of the sample that the domain distance is measured on.
        bias: What was added to the logits for the target's sake; on the source it is taken off.

    Returns:
        `label_free`, every label-free score by name, `evidence`, what the guard weighs beside them
        and the domains' distance, and `class_shares`, those that are `estimated` for the target's
        texts; None where a side has no such rows.
    """
    sets = scorer.data.evaluation.get("source_validation", {})
    held = concatenate([rows.encoded for rows in sets.values()]) if sets else None
    sample = scorer.data.target_sample
    source, rows, source_features, all_source = _read(scorer, model, held, seed)
    target, others, target_features, all_target = _read(scorer, model, sample, seed)
    source = None if source is None else source - bias
    quality, variance = scorer.source_quality(source, rows) or (None, None)
    if rows is not None and source is not None:
        scorer.seen["source_validation"] = [(source, rows.labels)]
    if target is not None:
        scorer.seen["target_sample"] = [(target, others.labels)]
    predictions = Predictions(
        source,
        None if rows is None else rows.labels,
        target,
        source_features=all_source,
        target_features=all_target,
        source_quality=quality,
        target_shares=scorer.target_shares,
    )
    evidence = estimates = None
    if held is not None and sample is not None:
        evidence = {
            **describe(predictions, scorer.task.label_names, rows.unit_counts, others.unit_counts),
            **({} if variance is None else {"source_variance": variance}),
            "domain_distance": proxy_a_distance(source_features, target_features, seed),
        }
        if not scorer.task.units_are_words:
            as_trained = replace(predictions, target_logits=target - bias)
            estimates = {
                name: dict(zip(scorer.task.label_names, shares.round(4).tolist(), strict=True))
                for name, shares in estimated_shares(as_trained).items()
            }
    return {
        "label_free": score_all(predictions),
        "evidence": evidence,
        "class_shares": estimates and {"estimated": estimates},
    }


def _read(scorer: Scorer, model: Any, rows: EncodedRows | None, seed: int) -> tuple[Any, ...]:
    """Logits of all rows, the rows, features of at most 1,000, and of all if they are read.

    Rows come in an order of their own, those with features first.
    """
    if rows is None:
        return None, None, None, None
    order = np.random.default_rng([seed, 22]).permutation(len(rows))
    first, rest = (np.sort(part) for part in np.split(order, [min(MOST_UNITS, len(rows))]))
    parts = [rows.select(first), rows.select(rest)] if len(rest) else [rows]
    read = [
        scorer.read(model, part, features=number == 0 or features_are_read())
        for number, part in enumerate(parts)
    ]
    logits, features = zip(*read, strict=True)
    return joined(logits), concatenate(parts), features[0], joined(features)
