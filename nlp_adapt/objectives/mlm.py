"""Masked-language modelling on the domains' own text, as a stage or beside the task.

Devlin et al. 2019, "BERT", NAACL (masking); Gururangan et al. 2020, "Don't Stop Pretraining", ACL
(as a stage); Karouzos et al. 2021, "UDALM", NAACL (beside the task).
"""

import logging
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.mlm_head import MlmHead, fresh_mlm_head, own_mlm_head, token_counts
from nlp_adapt.modeling.outputs import Terms
from nlp_adapt.modeling.tokenizers import WordPieces
from nlp_adapt.names import IGNORED_LABEL
from nlp_adapt.objectives.base import HEADS_ALONE, Objective, ObjectiveConfig, Setup, StepView
from nlp_adapt.objectives.views import last_hidden_state, select_side, source_rows
from nlp_adapt.options import Bounds, option

LOGGER = logging.getLogger("nlp_adapt")

# Masked positions are padded to a multiple of this: free shapes are slow on CPU.
POSITIONS_STEP = 64


@dataclass(kw_only=True)
class MlmConfig(ObjectiveConfig):
    """Options of masked-language modelling."""

    domains: str = option("both", "whose text to learn", ("both", "target", "source"))
    mask_rate: float = option(0.15, "share of tokens to predict", bounds=Bounds(above=0, below=1))
    whole_words: bool = option(True, "mask all pieces of a word together")


class Mlm(Objective):
    """Cross-entropy of masked tokens, averaged within each domain and then over the domains.

    Of the chosen tokens 80 % become the mask, 10 % a random token and 10 % stay. Only chosen
    positions get logits. The head is the checkpoint's own where it has one; its decoder is the
    input embedding matrix. A new one is at first trained alone: what it says before it can read the
    encoder would only unsettle that.
    """

    config_class = MlmConfig
    summary = "masked-language modelling on the domains' text"
    paper = "Gururangan et al. 2020, ACL; Karouzos et al. 2021, NAACL"

    def __init__(self, config: MlmConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        if getattr(setup.tokenizer, "mask_token_id", None) is None:
            raise ConfigError("mlm: the tokenizer has no mask token; choose another method.")
        self.mask_id = int(setup.tokenizer.mask_token_id)
        self.pieces = WordPieces(setup.tokenizer)
        own = own_mlm_head(setup.task_model)
        self.begins_anew = own is None
        self.head = self._new_head(setup) if own is None else own

    def _new_head(self, setup: Setup) -> MlmHead:
        """One that knows how often each token occurs in the text, and nothing else."""
        sides = self.sides(self.config)
        texts = [text for side, text in setup.tokens.items() if side in sides]
        size = len(setup.task_model.get_input_embeddings().weight)
        counts = token_counts(texts, self.pieces.special.cpu(), size)
        return fresh_mlm_head(setup.task_model, counts)

    def start(self, task_model: nn.Module) -> None:
        """Say that the head is new, where it is."""
        if self.begins_anew:
            LOGGER.warning(
                "mlm: the model brings no head that predicts masked words, so a new one is trained, "
                "alone for the first %d %% of the stage: a model that has one gains more from text.",
                round(100 * HEADS_ALONE),
            )

    def forward(self, view: StepView) -> Terms:
        """`mlm`; measurement `mlm/accuracy`, the share of masked tokens predicted right."""
        batch, domains = view.batch, self.config.domains
        if domains != "both":
            batch = select_side(batch, domains)
        if batch["input_ids"].shape[0] == 0:
            return {"mlm": 0.0 * self.head.bias.sum()}
        ids, mask = batch["input_ids"], batch["attention_mask"]
        corrupted, chosen = mask_tokens(
            ids, mask, self.pieces, self.mask_id, self.config.mask_rate, self.config.whole_words
        )
        hidden = last_hidden_state(view.task_model, corrupted, mask)
        positions, labels = padded_positions(chosen, ids)
        task_model: Any = view.task_model
        embeddings = task_model.get_input_embeddings().weight
        logits = self.head(hidden.flatten(0, 1).index_select(0, positions), embeddings).float()
        losses = F.cross_entropy(logits, labels, ignore_index=IGNORED_LABEL, reduction="none")

        known = labels != IGNORED_LABEL
        of_source = positions < source_rows(batch) * ids.shape[1]
        means = [_mean(losses, known & of_source), _mean(losses, known & ~of_source)]
        loss = 0.5 * (means[0] + means[1]) if domains == "both" else means[0] + means[1]
        hits = (logits.detach().argmax(-1) == labels).float()
        return {"mlm": loss, "mlm/accuracy": _mean(hits, known)}


def mask_tokens(
    ids: Tensor, mask: Tensor, pieces: WordPieces, mask_id: int, rate: float, whole_words: bool
) -> tuple[Tensor, Tensor]:
    """Choose and corrupt a share `rate` of the tokens or words, but no special tokens or padding.

    Returns:
        `[rows, width]` the corrupted ids, and which tokens to predict.
    """
    words, editable = pieces.words(ids, mask)
    draws = pieces.draw(words) if whole_words else torch.rand(ids.shape, device=ids.device)
    chosen = (draws < rate) & editable
    kind = torch.rand(ids.shape, device=ids.device)
    drawn = torch.randint(len(pieces.ordinary), ids.shape, device=ids.device)
    corrupted = torch.where(chosen & (kind < 0.8), mask_id, ids)
    replaced = chosen & (kind >= 0.8) & (kind < 0.9)
    return torch.where(replaced, pieces.ordinary[drawn], corrupted), chosen


def padded_positions(chosen: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Flat positions of the chosen tokens and their ids, padded with -100 to few sizes."""
    positions = chosen.flatten().nonzero().squeeze(1)
    labels = ids.flatten().index_select(0, positions)
    size = max(1, -(-len(positions) // POSITIONS_STEP)) * POSITIONS_STEP
    padding = size - len(positions)
    return F.pad(positions, (0, padding)), F.pad(labels, (0, padding), value=IGNORED_LABEL)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp_min(1)
