"""Parts of a batch and of a model, for objectives that take their own view of the text."""

from typing import Any

from torch import Tensor

from nlp_adapt.modeling.architectures import encoder_of


def source_rows(batch: dict[str, Any]) -> int:
    """Number of source rows, which begin the batch; between both sides, rows without units count to the target."""
    units = int(batch["source_units"])
    if units == 0 or "unit_positions" not in batch:
        return units
    return int(batch["unit_rows"][units - 1]) + 1


def select_side(batch: dict[str, Any], side: str) -> dict[str, Any]:
    """The rows and units of one side, `source` or `target`, as a batch of its own.

    Denominators stay those of the whole step, so that means over units are unchanged.
    """
    split, units = source_rows(batch), int(batch["source_units"])
    if side == "source":
        rows, chosen, first = slice(0, split), slice(0, units), 0
    else:
        rows, chosen, first = slice(split, None), slice(units, None), split
    selected = {**batch, "source_units": units if side == "source" else 0}
    by_row = ("input_ids", "attention_mask", "trunk_states")
    by_unit = ("labels", "domains", "teacher_logits")
    selected |= {name: batch[name][rows] for name in by_row if name in batch}
    selected |= {name: batch[name][chosen] for name in by_unit if name in batch}
    selected["unit_rows"] = batch["unit_rows"][chosen] - first
    if "unit_positions" in batch:
        width = batch["input_ids"].shape[1]
        selected["unit_positions"] = batch["unit_positions"][chosen] - first * width
    return selected


def last_hidden_state(task_model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Token states `[rows, width, hidden]` of the bare encoder, from ids and mask `[rows, width]`."""
    outputs = encoder_of(task_model)(input_ids=ids, attention_mask=mask)
    pooled = getattr(outputs, "pooler_output", None)
    # A pooler that nothing reads would be an idle parameter, which stalls DDP.
    return outputs[0] if pooled is None else outputs[0] + 0.0 * pooled.sum()
