"""skada.deep, as its user guide has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from harness import Job, Predict, main
from skada.deep import CDAN, DAN, DANN, MCC, DeepCoral, SourceOnly
from skada.deep.modules import DomainClassifier
from skorch.callbacks import Callback
from texts import TextEncoder, encode, schedule
from torch import nn

METHODS = {"source_only": SourceOnly, "dann": DANN, "cdan": CDAN, "mcc": MCC, "coral": DeepCoral, "mmd": DAN}  # fmt: skip
SOURCE, TARGET = 1, -2  # domains of a target are below 0
NO_LABEL = -1
FOREVER = 10_000  # epochs; the callback ends it


class Classifier(nn.Module):
    """An encoder and its head; `features` is the layer that is aligned."""

    def __init__(self, folder: str, classes: int) -> None:
        super().__init__()
        self.features = TextEncoder(folder)
        self.head = self.features.classifier(classes)

    def forward(self, X: torch.Tensor, sample_weight: Any = None) -> torch.Tensor:  # noqa: N803
        """Logits."""
        return self.head(self.features(X))


class Steps(Callback):
    """Follows the schedule, and ends after so many steps."""

    def __init__(self, job: Job) -> None:
        self.job, self.done = job, 0

    def on_train_begin(self, net: Any, **_: Any) -> None:
        """Begin the schedule."""
        self.schedule = schedule(self.job, net.optimizer_)

    def on_batch_end(self, net: Any, training: bool = False, **_: Any) -> None:
        """One step further."""
        if training:
            self.schedule.step()
            self.done += 1
            if self.done == self.job.steps:
                raise KeyboardInterrupt  # skorch ends there, and keeps what it has


def train(job: Job) -> Predict:
    """Train, and return what predicts."""
    rows = encode(job, job.texts["source"] + job.texts["target"]).numpy()
    sources, targets = len(job.texts["source"]), len(job.texts["target"])
    labels = np.array(job.labels["source"] + [NO_LABEL] * targets)
    domains = np.array([SOURCE] * sources + [TARGET] * targets)
    net = net_for(job)
    net.fit(rows, labels, domains)
    return lambda texts: answers(net, job, texts)


def net_for(job: Job) -> Any:
    """The method on an encoder."""
    name, _, variant = job.method.partition(":")
    module = Classifier(job.encoder, len(job.label_names))
    size = module.features.size
    own: dict[str, Any] = {}
    if name in ("dann", "cdan"):
        own["num_features"] = size
    if name == "cdan":
        own["n_classes"] = len(job.label_names)
    if variant == "sigmoid":
        own["domain_classifier"] = DomainClassifier(
            size * (len(job.label_names) if name == "cdan" else 1)
        )
        own["domain_classifier"].classifier[-1] = nn.Sigmoid()
    rate = {"lr": job.head_learning_rate}
    return METHODS[name](
        module,
        layer_name="features",
        optimizer=torch.optim.AdamW,
        optimizer__param_groups=[("*.head.*", rate), ("domain_classifier_*", rate)],
        optimizer__weight_decay=job.weight_decay,
        lr=job.learning_rate,
        max_epochs=FOREVER,
        batch_size=job.batch_size,
        train_split=None,
        verbose=0,
        callbacks=[Steps(job)],
        callbacks__print_log=None,
        **own,
    )


def answers(net: Any, job: Job, texts: Sequence[str]) -> list[list[float]]:
    """Probabilities of the classes."""
    rows = encode(job, texts).numpy()
    return net.predict_proba(rows, sample_domain=np.full(len(rows), TARGET)).tolist()


if __name__ == "__main__":
    main(train, "skada", "skorch")
