"""What the adversary is doing, in plain words.

A discriminator that works is better than chance at first, and is pushed towards chance as lambda
grows. One that never leaves chance tells the encoder nothing; one that stays near certainty gets
gradients too small to matter, or reads something that no encoder can hide, such as length.
"""

import logging
import math
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.batches.mixing import domain_ids

LOGGER = logging.getLogger("nlp_adapt")
SATURATED_ACCURACY = 0.95
CHANCE_MARGIN = 0.04
ENTROPY_MARGIN = 0.02
TELLING_LENGTH = 0.8
FEWEST_LINES = 3

Line = dict[str, float]
Verdict = tuple[str, str]  # and advice, empty where all is well


def judge_adversary(
    lines: Iterable[Mapping[str, Any]], rows: Mapping[str, EncodedRows]
) -> dict[str, Any]:
    """The report on a model's discriminators from the lines of its log; says once what is wrong."""
    if not {"source", "target"} <= set(rows):
        return {}
    report = adversary_health(
        lines,
        sources=len(domain_ids(rows["source"])),
        targets=len(domain_ids(rows["target"])),
        length_accuracy=length_probe(rows["source"], rows["target"]),
    )
    for objective, found in report.items():
        if found["advice"]:
            LOGGER.warning("%s: %s %s", objective, found["verdict"], found["advice"])
    return report


def adversary_health(
    lines: Iterable[Mapping[str, Any]],
    *,
    sources: int = 1,
    targets: int = 1,
    length_accuracy: float = 0.5,
) -> dict[str, dict[str, Any]]:
    """For each discriminator: first and last measurements, a verdict and what to change.

    Adversaries that do not tell domains apart, such as `mdd`, are not in it.

    Args:
        lines: Those of log.jsonl, each the means over a few steps.
        length_accuracy: Balanced accuracy of the best guess by length alone, see `length_probe`.
    """
    seen: dict[str, list[Line]] = {}
    for line in lines:
        for name in [key.removesuffix("/lambda") for key in line if key.endswith("/lambda")]:
            keys = {key: f"{name}/{key}" for key in ("accuracy", "entropy")}
            if line.keys() >= set(keys.values()):
                values = {key: line[measured] for key, measured in keys.items()}
                seen.setdefault(name, []).append(values)
    # The best guess knows that each side is half of what it is asked about.
    guess = 1 / (sources + targets), math.log(2) + 0.5 * (math.log(sources) + math.log(targets))
    found = {}
    for name, own in seen.items():
        verdict, advice = _judge(name, own, *guess, length_accuracy)
        first, last = _thirds(own)
        found[name] = {
            **{
                key: {"start": _mean(first, key), "end": _mean(last, key)}
                for key in ("accuracy", "entropy")
            },
            "length_alone": round(length_accuracy, 4),
            "verdict": verdict,
            "advice": advice,
        }
    return found


def _judge(
    name: str, lines: list[Line], chance: float, doubt: float, length_accuracy: float
) -> Verdict:
    """What to say of a discriminator whose guess has the accuracy `chance` and the entropy `doubt`."""
    if len(lines) < FEWEST_LINES:
        return "too few lines in the log to judge.", ""
    most = max(line["accuracy"] for line in lines)
    least_entropy = min(line["entropy"] for line in lines)
    last, last_entropy = (_mean(_thirds(lines)[1], key) for key in ("accuracy", "entropy"))
    if most < chance + CHANCE_MARGIN and least_entropy > doubt - ENTROPY_MARGIN:
        return (
            f"the discriminator never did better than chance (accuracy at most {most:.2f}, "
            "entropy that of a guess), so the encoder learnt nothing from it.",
            "Raise discriminator_learning_rate, or set source_warmup to 0.1 so that it learns "
            "before the reversal sets in; if the domains are truly alike, none is needed.",
        )
    if last > SATURATED_ACCURACY or (last_entropy < ENTROPY_MARGIN and last > 0.8):
        if length_accuracy > TELLING_LENGTH:
            return (
                f"the discriminator ends near certainty (accuracy {last:.2f}), and length alone "
                f"tells the domains apart with {length_accuracy:.2f}.",
                "Cut both domains to a like length with max_length, or choose rows of like "
                "length: no encoder can hide how long a text is.",
            )
        return (
            f"the discriminator ends near certainty (accuracy {last:.2f}): the encoder has not "
            "become harder to tell apart.",
            f"Raise lambda_max, lower discriminator_learning_rate, or set "
            f"options.{name}.spectral_norm to true.",
        )
    return f"the discriminator is alive: it ends at an accuracy of {last:.2f}.", ""


def _thirds(lines: list[Line]) -> tuple[list[Line], list[Line]]:
    """The first and the last third."""
    third = max(1, len(lines) // 3)
    return lines[:third], lines[-third:]


def _mean(lines: list[Line], key: str) -> float:
    return round(fmean(line[key] for line in lines), 4)


def length_probe(source: EncodedRows, target: EncodedRows) -> float:
    """Balanced accuracy of the best rule "longer than n tokens, so of that domain", 0.5 to 1.

    It is 1/2 plus half the Kolmogorov-Smirnov distance of the two length distributions.
    """
    longest = int(max(source.lengths.max(), target.lengths.max()))
    shares = [
        np.cumsum(np.bincount(rows.lengths, minlength=longest + 1)) / len(rows)
        for rows in (source, target)
    ]
    return 0.5 + 0.5 * float(np.abs(shares[0] - shares[1]).max())
