"""Domain-distinguish post-training: learn which domain a text is from, before hiding it.

Du et al. 2020, "Adversarial and Domain-Aware BERT for Cross-Domain Sentiment Analysis", ACL.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.modeling.discriminator import DomainDiscriminator
from nlp_adapt.modeling.outputs import IGNORED_LABEL
from nlp_adapt.objectives.base import Objective, ObjectiveConfig, Setup, StepView
from nlp_adapt.objectives.views import last_hidden_state, source_rows


class DomainDistinguish(Objective):
    """Cross-entropy of the domain, told from the first token of the last layer, not reversed.

    It makes the encoder aware of what differs between the domains; the paper runs it together with
    masked-language modelling as a stage before adversarial training. The paper tells pairs of
    texts apart; here each text is told on its own. The loss is averaged within each side and then
    over the two sides.
    """

    summary: ClassVar[str] = "predict the domain of a text, without reversal (post-training)"
    paper: ClassVar[str] = "Du et al. 2020, ACL"

    def __init__(self, config: ObjectiveConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        # The hidden size of the encoder: `setup.features` is what the classifier reads.
        self.classifier = DomainDiscriminator(
            int(setup.task_model.config.hidden_size), domains=setup.num_sources + 1
        )

    def forward(self, view: StepView) -> dict[str, Tensor]:
        """`domain_distinguish`; measurement `domain_distinguish/accuracy`, balanced."""
        batch = view.batch
        rows, split = batch["input_ids"].shape[0], source_rows(batch)
        hidden = last_hidden_state(view.task_model, batch["input_ids"], batch["attention_mask"])
        logits = self.classifier(hidden[:, 0])
        # A row's domain is that of its units; a row without units is left out.
        domains = torch.full((rows,), IGNORED_LABEL, device=logits.device)
        domains = domains.scatter(0, batch["unit_rows"], batch["domains"])
        losses = F.cross_entropy(logits, domains, ignore_index=IGNORED_LABEL, reduction="none")
        known = (domains != IGNORED_LABEL).float()
        hits = (logits.detach().argmax(-1) == domains).float()

        def balanced(values: Tensor) -> Tensor:
            sides = zip((values * known).split([split, rows - split]),
                        known.split([split, rows - split]), strict=True)  # fmt: skip
            return torch.stack(
                [side.sum() / some.sum().clamp_min(1) for side, some in sides]
            ).mean()

        return {
            "domain_distinguish": balanced(losses),
            "domain_distinguish/accuracy": balanced(hits),
        }
