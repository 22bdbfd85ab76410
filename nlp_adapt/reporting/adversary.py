"""What the adversary is doing, in plain words.

A discriminator that works is better than chance at first, and is pushed towards chance as lambda
grows. One that never leaves chance tells the encoder nothing; one that stays near certainty gets
gradients too small to matter, or reads something that no encoder can hide, such as length.
"""

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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


@dataclass
class AdversaryHealth:
    """Judges what was logged of each domain discriminator of a model's stages.

    Args:
        length_accuracy: Balanced accuracy of the best guess by length alone, see `length_probe`.
    """

    sources: int = 1
    targets: int = 1
    length_accuracy: float = 0.5
    _seen: dict[str, list[Line]] = field(default_factory=dict)

    def add(self, line: Mapping[str, Any]) -> None:
        """Take in a line of log.jsonl: the means over a few steps."""
        for name in [key.removesuffix("/lambda") for key in line if key.endswith("/lambda")]:
            keys = {key: f"{name}/{key}" for key in ("accuracy", "entropy")}
            if line.keys() >= set(keys.values()):
                values = {key: line[measured] for key, measured in keys.items()}
                self._seen.setdefault(name, []).append(values)

    def report(self) -> dict[str, dict[str, Any]]:
        """For each discriminator: first and last measurements, a verdict and what to change.

        Adversaries that do not tell domains apart, such as `mdd`, are not in it.
        """
        found = {}
        for name, lines in self._seen.items():
            verdict, advice = self._judge(name, lines)
            first, last = _thirds(lines)
            found[name] = {
                **{
                    key: {"start": _mean(first, key), "end": _mean(last, key)}
                    for key in ("accuracy", "entropy")
                },
                "length_alone": round(self.length_accuracy, 4),
                "verdict": verdict,
                "advice": advice,
            }
        return found

    def warn(self, report: dict[str, dict[str, Any]]) -> None:
        """Say once what is wrong, if anything is."""
        for objective, found in report.items():
            if found["advice"]:
                LOGGER.warning("%s: %s %s", objective, found["verdict"], found["advice"])

    def _judge(self, name: str, lines: list[Line]) -> Verdict:
        if len(lines) < FEWEST_LINES:
            return "too few lines in the log to judge.", ""
        chance = 1 / (self.sources + self.targets)
        # The best guess knows that each side is half of what it is asked about.
        guess = math.log(2) + 0.5 * (math.log(self.sources) + math.log(self.targets))
        most = max(line["accuracy"] for line in lines)
        least_entropy = min(line["entropy"] for line in lines)
        last, last_entropy = (_mean(_thirds(lines)[1], key) for key in ("accuracy", "entropy"))
        if most < chance + CHANCE_MARGIN and least_entropy > guess - ENTROPY_MARGIN:
            return (
                f"the discriminator never did better than chance (accuracy at most {most:.2f}, "
                "entropy that of a guess), so the encoder learnt nothing from it.",
                "Raise discriminator_learning_rate, or set source_warmup to 0.1 so that it learns "
                "before the reversal sets in; if the domains are truly alike, none is needed.",
            )
        if last > SATURATED_ACCURACY or (last_entropy < ENTROPY_MARGIN and last > 0.8):
            if self.length_accuracy > TELLING_LENGTH:
                return (
                    f"the discriminator ends near certainty (accuracy {last:.2f}), and length alone "
                    f"tells the domains apart with {self.length_accuracy:.2f}.",
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


def judge_adversary(
    lines: Iterable[Mapping[str, Any]], rows: Mapping[str, EncodedRows]
) -> dict[str, Any]:
    """The report on a model's discriminators from the lines of its log; says once what is wrong."""
    if not {"source", "target"} <= set(rows):
        return {}
    health = AdversaryHealth(
        sources=len(domain_ids(rows["source"])),
        targets=len(domain_ids(rows["target"])),
        length_accuracy=length_probe(rows["source"], rows["target"]),
    )
    for line in lines:
        health.add(line)
    report = health.report()
    health.warn(report)
    return report
