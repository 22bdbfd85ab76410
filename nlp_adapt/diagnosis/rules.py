"""What follows from how two domains differ: rules in one table, each with what backs it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

RULE_OF_THUMB = "rule of thumb"
CLOSE = 0.3
FEW_TEXTS = 100
FEW_LABELS = 500
FEWEST_STEPS = 200
BATCH = 32
EPOCHS = 3
REVIEW_LABELS = 40
SHARE_LABELS = 50


@dataclass(frozen=True)
class Facts:
    """What the rules look at; None where it is not known.

    Attributes:
        words: Whether words carry the labels.
        distance: Proxy A-distance on the encoder's features, 0 to 2; `length_distance` by length alone.
        shared: Share of the target's texts that the source holds as well.
        leaked: Test rows of the target that the source trains on.
        cut: Share of the target's texts that are longer than the model reads.
        split: Share of the target's words that the tokenizer splits; `split_source` of the source's.
        disagreement: Largest difference of one class's share in the target between estimators.
        shift: Largest difference of one class's share between them and the source.
        unseen: Share of the target's entities that the source lacks; `unseen_source` of held-out
            sentences of the source.
    """

    words: bool
    model: str
    source_rows: int
    target_rows: int
    distance: float | None = None
    length_distance: float | None = None
    shared: float = 0.0
    leaked: int = 0
    cut: float = 0.0
    split: float = 0.0
    split_source: float = 0.0
    disagreement: float | None = None
    shift: float | None = None
    unseen: float | None = None
    unseen_source: float | None = None

    @property
    def epochs(self) -> int:
        """Passes over the source that make about 200 steps at least."""
        return max(EPOCHS, min(20, math.ceil(FEWEST_STEPS * BATCH / max(self.source_rows, 1))))


@dataclass(frozen=True)
class Rule:
    """One piece of advice.

    Attributes:
        when: What must hold, in words.
        holds: The same in code.
        advice: What to do; `{...}` are values of the facts.
        basis: The page that measures it, or `rule of thumb`.
        method: What it settles, if no earlier rule did.
        labels: How many labels it asks for.
    """

    name: str
    when: str
    holds: Callable[[Facts], bool]
    advice: str
    basis: str = RULE_OF_THUMB
    method: str | None = None
    labels: int = 0


RULES = (
    Rule(
        "same-texts",
        "at least half of the target's texts are in the source",
        lambda f: f.shared >= 0.5,
        "Do not adapt: {f.shared:.0%} of the target's texts are in the source. Was one file named for "
        "both domains?",
        method="source_only",
    ),
    Rule(
        "close",
        f"the encoder's distance is below {CLOSE}",
        lambda f: f.distance is not None and f.distance < CLOSE,
        "Do not adapt: a linear probe hardly tells the domains apart (distance {f.distance:.2f} of 2), so "
        "that there is little to gain. Train with method source_only.",
        method="source_only",
    ),
    Rule(
        "little-text",
        f"the target has fewer than {FEW_TEXTS} texts",
        lambda f: f.target_rows < FEW_TEXTS,
        "Do not adapt yet: {f.target_rows:,} texts are too few to learn a domain from. Collect more, or "
        "label these and name them under target_few_shot.",
        method="source_only",
    ),
    Rule(
        "adapt",
        "otherwise",
        lambda f: True,
        "Adapt with method auto, the source-only model beside it; any other method is a bet that "
        "`nlp-adapt compare` can try.",
        basis="methods/auto.md",
        method="auto",
    ),
    Rule(
        "budget",
        "always",
        lambda f: True,
        "Train for {f.epochs} epochs, which makes at least {steps:,} steps of 32 rows.",
    ),
    Rule(
        "few-labels",
        f"the source has fewer than {FEW_LABELS} labelled rows",
        lambda f: f.source_rows < FEW_LABELS,
        "The source has {f.source_rows:,} labelled rows: more of them may bring more than any method.",
    ),
    Rule(
        "encoder",
        "the encoder is builtin:minilm-l6, and texts carry the labels",
        lambda f: f.model == "builtin:minilm-l6" and not f.words,
        "Try a larger encoder before any method, such as builtin:mpnet-base: five times the parameters, "
        "and as many times the time or more.",
    ),
    Rule(
        "shares",
        "texts carry the labels",
        lambda f: not f.words,
        "If you know how frequent the classes are in the target, say so with target_class_shares: worth 4 "
        "to 15 points on the pairs measured. If not, label {labels} target rows drawn at random and set "
        "few_shot_use: bias. The estimates above are to be looked at, not to be acted on: they err to "
        "the wrong side as often as not, also where they agree.",
        basis="benchmarks/few_labels.md",
        labels=SHARE_LABELS,
    ),
    Rule(
        "aligning",
        "estimated shares of a class differ by 10 points, among each other or from the source",
        lambda f: max(f.disagreement or 0.0, f.shift or 0.0) >= 0.1,
        "The classes may be differently frequent in the two domains: leave methods that align whole "
        "domains (dann, mmd, coral) alone, since they then mix classes up.",
        basis="theory.md",
    ),
    Rule(
        "length",
        "length alone reaches a distance of 0.5 and half of the encoder's",
        lambda f: (f.length_distance or 0.0) >= max(0.5, 0.5 * (f.distance or 0.0)),
        "Length alone gives the domains away (distance {f.length_distance:.2f}), so that a discriminator "
        "need not look at meaning: split long texts, or leave adversaries alone.",
    ),
    Rule(
        "cut",
        "at least a tenth of the target's texts is cut",
        lambda f: f.cut >= 0.1,
        "{f.cut:.0%} of the target's texts are cut: raise max_length, or split them into sentences.",
    ),
    Rule(
        "pieces",
        "at least 30 % of the target's words are split, and 1.5 times as many as of the source's",
        lambda f: f.split >= 0.3 and f.split >= 1.5 * f.split_source,
        "The tokenizer splits {f.split:.0%} of the target's words ({f.split_source:.0%} of the source's): "
        "try method udalm, or an encoder that was pretrained on such text.",
    ),
    Rule(
        "new-entities",
        "half of the target's entities are unseen, and 10 points more than in the source",
        lambda f: (f.unseen or 0.0) >= 0.5 and (f.unseen or 0.0) >= (f.unseen_source or 0.0) + 0.1,
        "{f.unseen:.0%} of what a probe takes for entities in the target is none of the source's "
        "({f.unseen_source:.0%} in held-out source): tag {labels} sentences of the target and name them "
        "under target_few_shot.",
        labels=SHARE_LABELS,
    ),
    Rule(
        "leakage",
        "test rows of the target are in the source",
        lambda f: f.leaked > 0,
        "{f.leaked:,} of the target's test rows are in the source: take them out of one, or scores measure "
        "memory.",
        basis="nlp-adapt doctor",
    ),
    Rule(
        "review",
        "always",
        lambda f: True,
        "After training, let `nlp-adapt review` show whether adaptation helped: {labels} answers to begin with.",
        basis="benchmarks/review.md",
        labels=REVIEW_LABELS,
    ),
)


def recommend(facts: Facts) -> dict[str, Any]:
    """What the rules say of two domains.

    Returns:
        `adapt`, `method`, `epochs`, `labels` (the most that a rule asks for), and under `says` for each
        rule that holds its `rule`, `advice` and `basis`.
    """
    method, said, labels = None, [], 0
    steps = facts.epochs * math.ceil(facts.source_rows / BATCH)
    for rule in RULES:
        if not rule.holds(facts) or (rule.method and method):
            continue
        method = method or rule.method
        if method == "source_only" and rule.name == "review":
            continue
        labels = max(labels, rule.labels)
        advice = rule.advice.format(f=facts, steps=steps, labels=rule.labels)
        said.append({"rule": rule.name, "advice": advice, "basis": rule.basis})
    return {
        "adapt": method != "source_only",
        "method": method,
        "epochs": facts.epochs,
        "labels": labels,
        "says": said,
    }
