"""What the adversary is doing, in plain words.

A discriminator that works is better than chance at first, and is pushed towards chance as lambda
grows. One that never leaves chance tells the encoder nothing; one that stays near certainty gets
gradients too small to matter, or reads something that no encoder can hide, such as length.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nlp_adapt.data.preprocessing import EncodedRows

LOGGER = logging.getLogger("nlp_adapt")
SATURATED_ACCURACY = 0.95
CHANCE_MARGIN = 0.04
ENTROPY_MARGIN = 0.02
TELLING_LENGTH = 0.8
FEWEST_LINES = 3


@dataclass
class AdversaryHealth:
    """Judges the logged accuracy and entropy of each discriminator of a model's stages.

    Args:
        domains: Number of domains that discriminators tell apart.
        length_accuracy: Balanced accuracy of the best guess by length alone, see `length_probe`.
    """

    domains: int = 2
    length_accuracy: float = 0.5
    _seen: dict[str, list[tuple[int, float, float]]] = field(default_factory=dict)

    def read(self, log: Path, model: str) -> AdversaryHealth:
        """Take in the lines of `log.jsonl` that belong to a model of the run."""
        for text in log.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            if line.get("model") == model:
                self.add(line)
        return self

    def add(self, line: dict[str, Any]) -> None:
        """Take in a line: the means over a few steps."""
        for name, accuracy in line.items():
            objective, _, measure = name.partition("/")
            entropy = line.get(f"{objective}/entropy")
            if measure == "accuracy" and entropy is not None and f"{objective}/lambda" in line:
                self._seen.setdefault(objective, []).append((line["step"], accuracy, entropy))

    def report(self) -> dict[str, dict[str, Any]]:
        """For each discriminator: first and last measurements, a verdict and what to change."""
        found = {}
        for objective, lines in self._seen.items():
            verdict, advice = self._judge(objective, lines)
            third = max(1, len(lines) // 3)
            found[objective] = {
                "accuracy": {"start": _mean(lines[:third], 1), "end": _mean(lines[-third:], 1)},
                "entropy": {"start": _mean(lines[:third], 2), "end": _mean(lines[-third:], 2)},
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

    def _judge(self, objective: str, lines: list[tuple[int, float, float]]) -> tuple[str, str]:
        chance = 1 / self.domains
        if len(lines) < FEWEST_LINES:
            return "too few lines in the log to judge.", ""
        most = max(accuracy for _, accuracy, _ in lines)
        least_entropy = min(entropy for _, _, entropy in lines)
        third = max(1, len(lines) // 3)
        last, last_entropy = _mean(lines[-third:], 1), _mean(lines[-third:], 2)
        if (
            most < chance + CHANCE_MARGIN
            and least_entropy > math.log(self.domains) - ENTROPY_MARGIN
        ):
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
                f"options.{objective}.spectral_norm to true.",
            )
        return f"the discriminator is alive: it ends at an accuracy of {last:.2f}.", ""


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


def _mean(lines: list[tuple[int, float, float]], column: int) -> float:
    return round(sum(line[column] for line in lines) / len(lines), 4)


def judge_adversary(log: Path, model: str, rows: Mapping[str, EncodedRows]) -> dict[str, Any]:
    """The report on a model's discriminators from the log of its run; says once what is wrong."""
    if set(rows) != {"source", "target"}:
        return {}
    domains = rows["source"].domains
    health = AdversaryHealth(
        domains=2 if domains is None else int(domains.max()) + 2,
        length_accuracy=length_probe(rows["source"], rows["target"]),
    )
    report = health.read(log, model).report()
    health.warn(report)
    return report
