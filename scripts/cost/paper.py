"""A run on graphics cards that were not at hand, on paper: every number here is an assumption or follows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cost import arithmetic
from cost.points import Point


@dataclass(frozen=True)
class Card:
    """One NVIDIA H100 SXM as its data sheet has it, and what of that a run is taken to reach.

    Attributes:
        peak: Dense bfloat16 operations a second.
        bandwidth: Bytes a second of its memory.
        link: Bytes a second to the others, one way over NVLink.
        product_share: Of the peak that products of matrices reach.
        bandwidth_share: Of the bandwidth that everything else reaches.
        link_share: Of the link that a ring of gradients reaches.
        layer_calls: Kernels of a layer, forward and backward, without torch.compile.
        fixed_calls: Kernels of a step beside the layers.
        call_seconds: For which the host is busy with one kernel.
        state_passes: Bytes that element-by-element work moves for each of a layer's state values.
    """

    peak: float = 989e12
    bandwidth: float = 3.35e12
    link: float = 450e9
    product_share: float = 0.5
    bandwidth_share: float = 0.75
    link_share: float = 0.7
    layer_calls: int = 90
    fixed_calls: int = 100
    call_seconds: float = 6e-6
    state_passes: float = 100.0


H100 = Card()
RUNS = (
    Point(6, 384, 64, 32, precision="bf16"),
    Point(12, 768, 128, 32, precision="bf16"),
    Point(12, 768, 512, 32, precision="bf16"),
    Point(24, 1024, 128, 32, precision="bf16"),
    Point(24, 1024, 512, 32, precision="bf16"),
)


@dataclass(frozen=True)
class OnPaper:
    """A step on paper.

    Attributes:
        point: Of each card.
        products: Seconds of products of matrices.
        moved: Seconds in which memory is read and written beside them.
        sent: Seconds in which gradients are exchanged, none of them hidden behind the backward pass.
        host: Seconds in which the host gives the kernels out, beside which the rest runs.
        share: Of the peak that the step reaches.
    """

    point: Point
    products: float
    moved: float
    sent: float
    host: float
    share: float

    @property
    def seconds(self) -> float:
        """Of a step: the device's work, or the host's where that takes longer; then the exchange."""
        return max(self.products + self.moved, self.host) + self.sent

    @property
    def tokens_a_second(self) -> float:
        """Of all cards."""
        return self.point.tokens * self.point.processes / self.seconds


def on_paper(point: Point, cards: int, card: Card = H100) -> OnPaper:
    """A step of `point` on each of so many cards.

    Attention is taken to be fused, so that its scores never reach memory.
    """
    point = replace(point, processes=cards)
    states = arithmetic.state_bytes(point) / 4
    moved = states * card.state_passes + arithmetic.optimizer_bytes(point)
    found = OnPaper(
        point,
        products=arithmetic.flops(point) / (card.peak * card.product_share),
        moved=moved / (card.bandwidth * card.bandwidth_share),
        sent=arithmetic.exchanged_bytes(point) / (card.link * card.link_share),
        host=card.call_seconds * (card.layer_calls * point.layers + card.fixed_calls),
        share=0.0,
    )
    return replace(found, share=arithmetic.flops(point) / found.seconds / card.peak)
