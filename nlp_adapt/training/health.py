"""What the adversary is doing, in plain words.

A discriminator that works is better than chance at first, and is pushed towards chance as lambda
grows. One that never leaves chance tells the encoder nothing; one that stays near certainty gets
gradients too small to matter, or reads something that no encoder can hide, such as length. Of any
adversary, the gradient that reaches the encoder says whether it has a part in what is learnt.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.data.batches.mixing import domain_ids
from nlp_adapt.training.gradient_ratio import RATIO

LOGGER = logging.getLogger("nlp_adapt")
SATURATED_ACCURACY = 0.95
CHANCE_MARGIN = 0.04
ENTROPY_MARGIN = 0.02
TELLING_LENGTH = 0.8
FEWEST_LINES = 3
# With lambda 1 on a small pretrained encoder, adversaries beside a task that was being learnt were
# measured between 0.2 (cdan) and 6 (wasserstein).
NO_SAY_RATIO = 0.01
DROWNING_RATIO = 10.0
# A task that is learnt has hardly a gradient left, beside which any other is large.
LEARNT_LOSS = 0.3
LEARNT_ACCURACY = 0.97

Line = dict[str, float]
Verdict = tuple[str, str]


@dataclass
class AdversaryHealth:
    """Judges what was logged of each adversary of a model's stages.

    Args:
        sources: Number of source domains that discriminators tell apart.
        targets: Number of target domains.
        length_accuracy: Balanced accuracy of the best guess by length alone, see `length_probe`.
    """

    sources: int = 1
    targets: int = 1
    length_accuracy: float = 0.5
    _seen: dict[str, list[Line]] = field(default_factory=dict)
    _unmeasured: str = ""

    def read(self, log: Path, model: str) -> AdversaryHealth:
        """Take in the lines of `log.jsonl` that belong to a model of the run."""
        for text in log.read_text(encoding="utf-8").splitlines():
            line = json.loads(text)
            if line.get("model") == model:
                self.add(line)
        return self

    def add(self, line: dict[str, Any]) -> None:
        """Take in a line: the means over a few steps."""
        self._unmeasured = line.get("gradient_ratio", self._unmeasured)
        for name in [key.removesuffix("/lambda") for key in line if key.endswith("/lambda")]:
            values = {
                "accuracy": line.get(f"{name}/accuracy"),
                "entropy": line.get(f"{name}/entropy"),
                "gradient_ratio": line.get(name + RATIO),
                "held_loss": line.get("task", line.get(f"{name}_distillation")),
                "held_accuracy": line.get("task/accuracy"),
            }
            known = {key: value for key, value in values.items() if value is not None}
            self._seen.setdefault(name, []).append(known)

    def report(self) -> dict[str, dict[str, Any]]:
        """For each adversary: first and last measurements, a verdict and what to change.

        `accuracy`, `entropy` and `length_alone` are there for adversaries that tell domains apart,
        `gradient_ratio` where it was measured; `unmeasured` says why it was not.
        """
        found = {}
        for name, lines in self._seen.items():
            verdict, advice = self._judge(name, lines)
            first, last = _thirds(lines)
            entry: dict[str, Any] = {
                key: {"start": _middle(first, key), "end": _middle(last, key)}
                for key in ("accuracy", "entropy", "gradient_ratio")
                if _has(lines, key)
            }
            if _judges(lines):
                entry["length_alone"] = round(self.length_accuracy, 4)
            if self._unmeasured and not _has(lines, "gradient_ratio"):
                entry["unmeasured"] = self._unmeasured
            found[name] = {**entry, "verdict": verdict, "advice": advice}
        return found

    def warn(self, report: dict[str, dict[str, Any]]) -> None:
        """Say once what is wrong, if anything is."""
        for objective, found in report.items():
            if found["advice"]:
                LOGGER.warning("%s: %s %s", objective, found["verdict"], found["advice"])

    def _judge(self, name: str, lines: list[Line]) -> Verdict:
        if len(lines) < FEWEST_LINES:
            return "too few lines in the log to judge.", ""
        sick = self._judge_discriminator(name, lines) if _judges(lines) else None
        sick = sick or _judge_gradient(name, lines)
        if sick:
            return sick
        _, last = _thirds(lines)
        signs = []
        if _judges(lines):
            signs.append(f"it ends at an accuracy of {_middle(last, 'accuracy'):.2f}")
        if _has(last, "gradient_ratio"):
            signs.append(f"its gradient is {_middle(last, 'gradient_ratio'):.2g} times the task's")
        kind = "discriminator" if _judges(lines) else "adversary"
        return f"the {kind} is alive: {' and '.join(signs) or 'nothing speaks against it'}.", ""

    def _judge_discriminator(self, name: str, lines: list[Line]) -> Verdict | None:
        """What is wrong with the discriminator itself, if anything is."""
        chance = 1 / (self.sources + self.targets)
        # The best guess knows that each side is half of what it is asked about.
        guess = math.log(2) + 0.5 * (math.log(self.sources) + math.log(self.targets))
        most = max(line["accuracy"] for line in lines)
        least_entropy = min(line["entropy"] for line in lines)
        last, last_entropy = (_middle(_thirds(lines)[1], key) for key in ("accuracy", "entropy"))
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
        return None


def _judge_gradient(name: str, lines: list[Line]) -> Verdict | None:
    """What is wrong with how much the adversary moves the encoder, if anything is."""
    ratios = [line["gradient_ratio"] for line in lines if "gradient_ratio" in line]
    if len(ratios) < FEWEST_LINES:
        return None
    if max(ratios) < NO_SAY_RATIO:
        return (
            f"the adversary has no say: its gradient in the encoder was never more than "
            f"{max(ratios):.2g} times the task's.",
            f"Raise lambda_max or options.{name}.weight; if lambda itself stayed low, train longer "
            "or lower source_warmup.",
        )
    _, last = _thirds(lines)
    ratio, loss, accuracy = (
        _middle(last, key) for key in ("gradient_ratio", "held_loss", "held_accuracy")
    )
    learnt = loss < LEARNT_LOSS or accuracy > LEARNT_ACCURACY
    if ratio > DROWNING_RATIO and not learnt:
        return (
            f"the adversary drowns the task: at the end its gradient in the encoder is {ratio:.3g} "
            f"times the task's, which is not learnt (loss {loss:.2f}).",
            f"Lower lambda_max or options.{name}.weight, or set source_warmup to 0.3 so that the "
            "task is learnt first.",
        )
    return None


def _thirds(lines: list[Line]) -> tuple[list[Line], list[Line]]:
    """The first and the last third."""
    third = max(1, len(lines) // 3)
    return lines[:third], lines[-third:]


def _has(lines: list[Line], key: str) -> bool:
    return any(key in line for line in lines)


def _judges(lines: list[Line]) -> bool:
    """Whether the adversary says of each unit which domain it is from."""
    return all("accuracy" in line and "entropy" in line for line in lines)


def _middle(lines: list[Line], key: str) -> float:
    """Mean of a measurement; the median of ratios, single ones of which can be huge; or nan."""
    values = [line[key] for line in lines if key in line]
    if not values:
        return math.nan
    return round(median(values) if key == "gradient_ratio" else fmean(values), 4)


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


def judge_adversary(log: Path, model: str, rows: Mapping[str, EncodedRows]) -> dict[str, Any]:
    """The report on a model's discriminators from the log of its run; says once what is wrong."""
    if not {"source", "target"} <= set(rows):
        return {}
    health = AdversaryHealth(
        sources=len(domain_ids(rows["source"])),
        targets=len(domain_ids(rows["target"])),
        length_accuracy=length_probe(rows["source"], rows["target"]),
    )
    report = health.read(log, model).report()
    health.warn(report)
    return report
