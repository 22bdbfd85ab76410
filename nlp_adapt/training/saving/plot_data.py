"""What pictures of a model are drawn from and its scores do not hold: points and calibration.

No text of a row is in it, but for single words; true labels of target rows are, as in the scores.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nlp_adapt.augmentation.terms import domain_terms
from nlp_adapt.data.batches.encoded import EncodedRows, concatenate
from nlp_adapt.data.domain import Domain, shuffled_head
from nlp_adapt.data.reading.conll import split_words
from nlp_adapt.metrics.calibration import best_temperature, reliability
from nlp_adapt.names import OUTSIDE
from nlp_adapt.training.context import RunContext
from nlp_adapt.training.inputs.domains import Inputs
from nlp_adapt.training.scoring import Scorer
from nlp_adapt.validators.scores import probabilities

SIDES = ("source", "target")
MOST_POINTS = 150  # of a domain: more hide each other
MOST_ROWS = 150
MOST_TEXTS = 2000  # of a domain, whose words are counted
MOST_WORDS = 12
MOST_ANSWERS = 2000
OTHERS = 1 / 3  # of a tagger's points: words outside of entities


def plot_data(context: RunContext, scorer: Scorer, model: Any) -> dict[str, Any]:
    """`points`, `calibration` and `answers` of a trained model, and the `words` of both domains.

    Args:
        scorer: It has scored the model, and noted in `seen` what the model said.
    """
    return {
        "points": points(scorer, model, context.config.seed),
        "calibration": calibration(scorer.seen),
        "words": domain_words(context.inputs, context.config.seed),
        "answers": answers(scorer.seen),
    }


def answers(seen: Mapping[str, Any]) -> list[int] | None:
    """The class of each of the first 2,000 units of the target's sample, which all models of a seed share."""
    parts = seen.get("target_sample")
    return None if not parts else parts[0][0][:MOST_ANSWERS].argmax(-1).tolist()


def points(scorer: Scorer, model: Any, seed: int) -> dict[str, Any] | None:
    """Features of some units of both domains on their first two principal components.

    Returns:
        `explained`, the share of the variance on each axis, and of each domain `x`, `y` (from -1 to
        1), `truth` (class index, -1 where unknown), `predicted` and `confidence` of each unit; None
        where a domain has no held-out rows.
    """
    samples = {side: _sample(scorer, side, seed) for side in SIDES}
    if any(rows is None for rows in samples.values()):
        return None
    features, said = [], {}
    for side, rows in samples.items():
        assert rows is not None
        logits, seen = scorer.read(model, rows, features=True)
        assert seen is not None
        chosen = _units(scorer, logits, rows.labels, seed)
        shares = probabilities(logits[chosen])
        features.append(seen[chosen])
        said[side] = {
            "truth": np.maximum(rows.labels[chosen], -1).tolist(),
            "predicted": shares.argmax(-1).tolist(),
            "confidence": shares.max(-1).round(3).tolist(),
        }
    plane, explained = principal_plane(np.concatenate(features))
    truth = np.concatenate([said[side]["truth"] for side in SIDES])
    plane *= _signs(plane, truth)
    for side, own in zip(SIDES, np.split(plane, [len(features[0])]), strict=True):
        said[side] = {"x": own[:, 0].tolist(), "y": own[:, 1].tolist(), **said[side]}
    return {"explained": explained, **said}


def domain_words(inputs: Inputs, seed: int) -> dict[str, list[list[Any]]] | None:
    """Words that tell the domains apart, surest first, from some training rows of each.

    Returns:
        For each domain the words that are much more frequent in it than in the other one, each with
        its occurrences in 10,000 words of the source and of the target; None without a target.
    """
    if not inputs.targets:
        return None
    counts = {side: _word_counts(domains, seed) for side, domains in inputs.sides.items()}
    sizes = {side: own.total() for side, own in counts.items()}
    if not all(sizes.values()):
        return None
    terms = domain_terms(counts["source"], counts["target"])
    return {
        side: [
            [word, *(round(1e4 * counts[one][word] / sizes[one], 1) for one in SIDES)]
            for word in found[:MOST_WORDS]
        ]
        for side, found in zip(SIDES, terms, strict=True)
    }


def _word_counts(domains: Sequence[Domain], seed: int) -> Counter[str]:
    """Case-folded words of at most 2,000 rows of each domain."""
    counts: Counter[str] = Counter()
    for domain in domains:
        dataset = shuffled_head(domain.without_labels(), MOST_TEXTS, seed)
        if "tokens" in dataset.column_names:
            rows = dataset["tokens"][:]
        else:
            rows = [[word for word, _, _ in split_words(text)] for text in dataset["text"][:]]
        counts.update(
            word.casefold() for row in rows for word in row if any(map(str.isalnum, word))
        )
    return counts


def principal_plane(features: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Features `[units, width]` on their first two principal components, scaled to at most 1.

    Returns:
        `[units, 2]`, and the share of the variance on each axis.
    """
    centred = features.astype(np.float64) - features.mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(features), 2))
    kept = min(2, len(values))
    plane[:, :kept] = left[:, :kept] * values[:kept]
    shares = np.zeros(2)
    shares[:kept] = values[:kept] ** 2 / max(float((values**2).sum()), 1e-12)
    scaled = plane / max(float(np.abs(plane).max(initial=0.0)), 1e-12)
    return scaled.round(3), shares.round(4).tolist()


def calibration(seen: Mapping[str, Any]) -> dict[str, Any]:
    """How far confidence can be believed, before and after a temperature fitted on the source.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", ICML, arXiv:1706.04599. Nothing acts
    on the temperature: the saved model is as it was trained.

    Returns:
        `temperature`, None without validation rows, and for each domain with labelled rows, which
        `rows` they are, and their reliability `before` and `after`.
    """
    temperature = None
    if held := seen.get("source_validation"):
        temperature = best_temperature(*_known(held))
    found: dict[str, Any] = {"temperature": temperature}
    for side in SIDES:
        part = f"{side}_test" if seen.get(f"{side}_test") else f"{side}_validation"
        if not seen.get(part):
            continue
        logits, labels = _known(seen[part])
        if not len(labels):
            continue
        found[side] = {"rows": part.partition("_")[2], "before": reliability(logits, labels)}
        if temperature is not None:
            found[side]["after"] = reliability(logits / temperature, labels)
    return found


def _known(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = (np.concatenate(values) for values in zip(*parts, strict=True))
    return logits[labels >= 0], labels[labels >= 0]


def _sample(scorer: Scorer, side: str, seed: int) -> EncodedRows | None:
    """Labelled rows that nothing was trained on where there are some, else the target's text."""
    sets = scorer.data.evaluation.get(f"{side}_test", {})
    sets = sets or scorer.data.evaluation.get(f"{side}_validation", {})
    rows = concatenate([one.encoded for one in sets.values()]) if sets else None
    if rows is None and side == "target":
        rows = scorer.data.target_sample
    if rows is None:
        return None
    order = np.random.default_rng([seed, 31]).permutation(len(rows))
    return rows.select(np.sort(order[:MOST_ROWS]))


def _units(scorer: Scorer, logits: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Which units become points: of words, those in entities above all."""
    order = np.random.default_rng([seed, 32]).permutation(len(logits))
    names = scorer.task.label_names
    if OUTSIDE in names and scorer.task.units_are_words:
        outside = names.index(OUTSIDE)
        in_entity = (logits.argmax(-1) != outside) | ((labels >= 0) & (labels != outside))
        inside, others = order[in_entity[order]], order[~in_entity[order]]
        few = max(int(MOST_POINTS * OTHERS), MOST_POINTS - len(inside))
        order = np.concatenate([inside[: MOST_POINTS - min(few, len(others))], others[:few]])
    return np.sort(order[:MOST_POINTS])


def _signs(plane: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Axes point towards the higher classes, so that both models' pictures lie alike."""
    known = truth >= 0
    if not known.any():
        return np.ones(2)
    centred = truth[known] - truth[known].mean()
    return np.where((plane[known] * centred[:, None]).sum(0) < 0, -1.0, 1.0)
