"""Du et al. 2020, "Adversarial and Domain-Aware BERT for Cross-Domain Sentiment Analysis", ACL."""

import torch
import torch.nn.functional as F
from torch import Tensor

from nlp_adapt.modeling.discriminator import DomainDiscriminator
from nlp_adapt.modeling.outputs import Terms
from nlp_adapt.names import IGNORED_LABEL
from nlp_adapt.objectives.base import Objective, ObjectiveConfig, Setup, StepView
from nlp_adapt.objectives.views import last_hidden_state, source_rows


class DomainDistinguish(Objective):
    """Cross-entropy of the domain, told from the first token of the last layer, not reversed.

    The encoder learns what differs between the domains: a stage before adversarial training, beside
    masked-language modelling. The paper judges pairs of texts; here each text is judged on its own.
    The loss is averaged within each domain, then over the domains of a side, then over both sides.
    """

    summary = "predict the domain of a text, without reversal (post-training)"
    paper = "Du et al. 2020, ACL"

    def __init__(self, config: ObjectiveConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        # The hidden size of the encoder: `setup.features` is what the classifier reads.
        self.num_domains = (setup.num_sources, setup.num_targets)
        self.classifier = DomainDiscriminator(
            int(setup.task_model.config.hidden_size), domains=sum(self.num_domains)
        )

    def forward(self, view: StepView) -> Terms:
        """`domain_distinguish`; measurement `domain_distinguish/accuracy`, balanced."""
        batch = view.batch
        rows, split = batch["input_ids"].shape[0], source_rows(batch)
        hidden = last_hidden_state(view.task_model, batch["input_ids"], batch["attention_mask"])
        logits = self.classifier(hidden[:, 0])
        # A row's domain is that of its units; a row without units is left out.
        domains = torch.full((rows,), IGNORED_LABEL, device=logits.device)
        domains = domains.scatter(0, batch["unit_rows"], batch["domains"])
        losses = F.cross_entropy(logits, domains, ignore_index=IGNORED_LABEL, reduction="none")
        hits = (logits.detach().argmax(-1) == domains).float()
        sources, targets = self.num_domains

        def balanced(values: Tensor) -> Tensor:
            source = _mean_over(range(sources), values[:split], domains[:split])
            of_target = range(sources, sources + targets)
            return 0.5 * (source + _mean_over(of_target, values[split:], domains[split:]))

        name = "domain_distinguish"
        return {name: balanced(losses), f"{name}/accuracy": balanced(hits)}


def _mean_over(which: range, values: Tensor, domains: Tensor) -> Tensor:
    """Mean of `values` `[rows]` within each domain, then over the domains that have rows here."""
    members = [(domains == domain).float() for domain in which]
    means = [(values * mine).sum() / mine.sum().clamp_min(1) for mine in members]
    present = torch.stack([mine.sum() > 0 for mine in members]).sum()
    return torch.stack(means).sum() / present.clamp_min(1)
