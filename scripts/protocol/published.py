"""Numbers that others have published for the same domains, of other encoders and splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Published:
    """A number from a paper.

    Attributes:
        name: Of the method.
        encoder: What it starts from.
        score: In percent.
        paper: Where it stands.
    """

    name: str
    encoder: str
    score: float
    paper: str


AMAZON = (
    Published("BERT-DAAT", "BERT-base", 90.1, "Du et al. 2020, Adversarial and Domain-Aware BERT for "
              "Cross-Domain Sentiment Analysis, ACL"),
    Published("UDALM", "BERT-base", 91.7, "Karouzos et al. 2021, UDALM: Unsupervised Domain Adaptation "
              "through Language Modeling, NAACL"),
    Published("AdSPT", "RoBERTa-base", 93.1, "Wu and Shi 2022, Adversarial Soft Prompt Tuning for "
              "Cross-Domain Sentiment Analysis, ACL"),
    Published("two-stage MLM", "RoBERTa-base", 94.2, "Feng et al. 2024, A Two-Stage Framework with "
              "Self-Supervised Distillation for Cross-Domain Text Classification, LREC-COLING"),
)  # fmt: skip
WNUT = (
    Published("T-NER, CoNLL-2003 to WNUT-17", "XLM-R-large", 68.6, "Ushio and Camacho-Collados 2021, T-NER: "
              "An All-Round Python Library for Transformer-based Named Entity Recognition, EACL"),
)  # fmt: skip
OF_SUITE: dict[str, tuple[tuple[Published, ...], str, str]] = {
    "amazon": (
        AMAZON,
        "mean accuracy of the 12 pairs",
        "The classes are balanced, so that accuracy and macro-F1 lie close together. The papers take "
        "Blitzer's own raw pools and differ in which rows they hold out.",
    ),
    "wnut": (
        WNUT,
        "span F1",
        "T-NER fine-tunes on all of CoNLL-2003 and reads no text of the target. Between corpora with other "
        "types it scores spans whatever their type, as do the score files of its model "
        "`tner/xlm-roberta-large-conll2003` (69.1): easier than the strict F1 above.",
    ),
}


def section(suite: str) -> list[str]:
    """The section of a suite's page, as paragraphs; none where nothing is published."""
    if suite not in OF_SUITE:
        return []
    rows, measure, remark = OF_SUITE[suite]
    lines: list[list[Any]] = [["method", "encoder", f"{measure}, %", "paper"], ["---"] * 4]
    lines += [[one.name, one.encoder, f"{one.score:.1f}", one.paper] for one in rows]
    return [
        "## Published elsewhere",
        "**Other encoders, other splits, other budgets:** what a good result looks like, and no row to "
        f"subtract from. {remark}",
        "\n".join(f"| {' | '.join(line)} |" for line in lines),
    ]
