"""What a training step must do at least: floating-point operations, and bytes that have to move.

An encoder of BERT's kind, width H, L layers, rows of S tokens, V word pieces. A multiplication and
an addition count as two operations; the backward pass takes two products for each of the forward.
"""

from __future__ import annotations

from cost.points import LONGEST, Point

# AdamW in float32 reads a weight, its gradient and two moments and writes three of them; clipping
# reads the gradient, and reads and writes it once more.
OPTIMIZER_BYTES = 4 * (4 + 3 + 1 + 2)
# A weight, its gradient and two moments.
STATE_BYTES = 16
BACKWARD = 3


def parameters(point: Point) -> int:
    """Weights of the encoder with its pooler; heads and discriminators are small beside it."""
    wide = point.hidden
    embeddings = (point.vocabulary + LONGEST + 2) * wide + 2 * wide
    layer = 4 * (wide * wide + wide) + 2 * 4 * wide * wide + 5 * wide + 4 * wide
    return embeddings + point.layers * layer + wide * wide + wide


def dense_flops(point: Point, times: int = BACKWARD) -> float:
    """Operations of a step's products with weights: 24 H^2 a token and layer in the forward pass."""
    return times * 24.0 * point.hidden**2 * point.layers * point.tokens


def attention_flops(point: Point, times: int = BACKWARD) -> float:
    """Operations of a step's products of states with states: 4 S H a token and layer."""
    return times * 4.0 * point.length * point.hidden * point.layers * point.tokens


def flops(point: Point, times: int = BACKWARD) -> float:
    """Operations of a step, in one process."""
    return dense_flops(point, times) + attention_flops(point, times)


def flops_a_token(point: Point) -> float:
    """Operations of a step for each of its tokens."""
    return flops(point) / point.tokens


def score_bytes(point: Point) -> float:
    """Bytes of a step's attention scores in float32, once each."""
    return 4.0 * point.heads * point.length * point.layers * point.tokens


def state_bytes(point: Point) -> float:
    """Bytes of a step's token states in float32, one for each layer."""
    return 4.0 * point.hidden * point.layers * point.tokens


def optimizer_bytes(point: Point) -> float:
    """Bytes that clipping and AdamW move."""
    return float(OPTIMIZER_BYTES * parameters(point))


def exchanged_bytes(point: Point) -> float:
    """Bytes that each process sends for a step: float32 gradients in a ring."""
    return 2 * (point.processes - 1) / point.processes * 4.0 * parameters(point)
