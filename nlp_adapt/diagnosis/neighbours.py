"""Which texts of a target lie nearest to the source, and which farthest."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nlp_adapt.names import label_key

NEIGHBOURS = 5
SHOWN = 3
LONGEST = 160


def nearest_and_farthest(
    source_texts: Sequence[str],
    target_texts: Sequence[str],
    source: np.ndarray,
    target: np.ndarray,
    most: int = SHOWN,
) -> dict[str, list[dict[str, Any]]]:
    """Texts of the target by the mean cosine to their five nearest texts of the source.

    Args:
        source: `[texts, width]` features.
        target: `[texts, width]` features.

    Returns:
        `nearest` and `farthest`: the `text`, cut where it is long, its `similarity`, and the `source`
        text that lies nearest to it. Texts that both domains hold are left out.
    """
    ours, theirs = (
        side / np.linalg.norm(side, axis=1, keepdims=True).clip(1e-12) for side in (source, target)
    )
    similar = theirs @ ours.T
    count = min(NEIGHBOURS, similar.shape[1])
    mean = np.partition(similar, -count, axis=1)[:, -count:].mean(1)
    shared = set(map(label_key, source_texts))
    met: set[str] = set(shared)
    order = []
    for row in np.argsort(-mean, kind="stable"):
        if (key := label_key(target_texts[row])) not in met:
            met.add(key)
            order.append(row)

    def entry(row: int) -> dict[str, Any]:
        return {
            "text": _cut(target_texts[row]),
            "similarity": round(float(mean[row]), 3),
            "source": _cut(source_texts[int(similar[row].argmax())]),
        }

    few = min(most, len(order) // 2)
    return {
        "nearest": [entry(row) for row in order[:few]],
        "farthest": [entry(row) for row in order[::-1][:few]],
    }


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
