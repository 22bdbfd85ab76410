"""Which peers there are, what each needs, and which methods it is asked for.

A method that two peers have under one name is compared; what follows a colon is a variant of it. `few_16`
has sixteen labelled rows of the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OURS = "nlp_adapt"
ALIGNED = ("source_only", "dann", "cdan", "mcc", "dann_mcc", "coral", "mmd")
FEW = ("few_8", "few_16", "few_64")
COMMON = ("torch", "transformers", "scikit-learn")


@dataclass(frozen=True)
class Peer:
    """A library, or a loop, that does the same work.

    Attributes:
        adapter: Its file in this folder.
        texts: Methods for texts.
        words: Methods for words, where it can tag.
        default: The method that its own documentation starts with.
        requirements: What pip installs beside `COMMON`; empty: it runs where the driver does.
        alone: What pip installs without its dependencies.
        settings: What it sets in its jobs.
        note: How it is used, in a sentence.
        cannot_tag: Why there is no span F1 of it.
    """

    adapter: str
    texts: tuple[str, ...]
    note: str
    words: tuple[str, ...] = ()
    default: str = ""
    requirements: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    cannot_tag: str = ""


PEERS = {
    OURS: Peer(
        "with_nlp_adapt.py",
        ("auto", *ALIGNED, "logistic_regression", *FEW),
        "the recipes of this repository; `few_N` is `auto` with `target_few_shot`. Neither twin nor "
        "validation rows, as no peer has them",
        words=("auto", "source_only", "dann"),
        default="auto",
    ),
    "nlp_adapt in fp32": Peer(
        "with_nlp_adapt.py",
        ("source_only", "dann"),
        "the same with `precision: fp32`, to tell what the number format is worth",
        settings={"precision": "fp32"},
    ),
    "textbook": Peer(
        "textbook.py",
        ("dann",),
        "a loop as tutorials write it: float32, a pass for each domain, padded to the longest row",
        default="dann",
        cannot_tag="it is written for one label a text",
    ),
    "pytorch-adapt": Peer(
        "with_pytorch_adapt.py",
        ALIGNED,
        "its hooks in a plain loop, with its `Discriminator` (256 wide), batches padded to their longest "
        "row; `dann_mcc` is the composition of its README without VAT",
        default="dann",
        # torchvision, which none of its hooks import, has to be built for the very torch that is there.
        requirements=("setuptools<81", "tqdm"),
        alone=("torchmetrics==0.9.3", "pytorch-metric-learning==1.6.3", "pytorch-adapt==0.0.83"),
        cannot_tag="its losses read one row of logits for each input",
    ),
    "skada": Peer(
        "with_skada.py",
        ("source_only", "dann", "dann:sigmoid", "cdan", "cdan:sigmoid", "mcc", "coral", "mmd"),
        "`skada.deep` as its user guide has it; its data sets are tensors, so rows are padded to the "
        "longest of all. Its own domain classifier ends in a softmax over one number, which is always 1 "
        "and teaches nothing; `:sigmoid` is the same with a sigmoid, through `domain_classifier`",
        default="coral",
        requirements=("skada==0.6.0", "skorch"),
        cannot_tag="it has one label for each row of its tensor",
    ),
    "SetFit": Peer(
        "with_setfit.py",
        FEW,
        "its own defaults (batches of 16 pairs, one epoch over them, rate 2e-5, logistic regression on "
        "top), on the target's labelled rows alone: it has no use for a source",
        default="few_16",
        requirements=("setfit==1.2.0", "sentence-transformers[train]>=6,<7"),
        cannot_tag="it classifies texts, and its ABSA models polarities of given spans",
    ),
    "sentence-transformers": Peer(
        "with_sentence_transformers.py",
        ("logistic_regression", *FEW),
        "`few_N`: `BatchAllTripletLoss` on the target's labelled rows, then logistic regression on the "
        "embeddings; `logistic_regression`: on the source's embeddings as they are",
        requirements=("sentence-transformers[train]>=6,<7",),
        cannot_tag="it makes one embedding of a text",
    ),
    "transformers Trainer": Peer(
        "with_trainer.py",
        ("source_only", *FEW),
        "`Trainer` with `DataCollatorWithPadding`; `few_N` adds the labelled rows to the source's",
        words=("source_only",),
        default="source_only",
        requirements=("accelerate", "datasets"),
    ),
}  # fmt: skip
