"""Domain-adversarial training as tutorials write it: float32, two passes, padded to the longest row."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from harness import Job, Predict, main
from texts import TextEncoder, adamw, encode, probabilities, schedule
from torch import nn


class Reversal(torch.autograd.Function):
    """Nothing on the way there; the way back, the gradient's other sign."""

    @staticmethod
    def forward(ctx, features, strength):  # type: ignore[no-untyped-def]
        """As they are."""
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        """Reversed, so strong."""
        return -ctx.strength * gradient, None


def train(job: Job) -> Predict:
    """Train, and return what predicts."""
    source, target = encode_both(job)
    labels = torch.tensor(job.labels["source"])
    encoder = TextEncoder(job.encoder)
    classifier = encoder.classifier(len(job.label_names))
    discriminator = nn.Sequential(nn.Linear(encoder.size, 256), nn.ReLU(), nn.Linear(256, 2))
    model = nn.Sequential(encoder, classifier).train()
    optimizer = adamw(job, encoder, classifier, discriminator)
    scheduler = schedule(job, optimizer)
    for step in range(job.steps):
        rows = torch.randint(len(source), (job.batch_size,))
        others = torch.randint(len(target), (job.batch_size,))
        ours, theirs = encoder(source[rows]), encoder(target[others])
        strength = 2 / (1 + math.exp(-10 * step / job.steps)) - 1
        domains = torch.cat([torch.zeros(len(ours)), torch.ones(len(theirs))]).long()
        told = discriminator(Reversal.apply(torch.cat([ours, theirs]), strength))
        loss = F.cross_entropy(classifier(ours), labels[rows]) + F.cross_entropy(told, domains)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    return lambda texts: probabilities(model, job, texts)


def encode_both(job: Job) -> list[torch.Tensor]:
    """Both domains, as wide as the longest row of either."""
    sides = [encode(job, job.texts[side]) for side in ("source", "target")]
    longest = max(side.shape[1] for side in sides)
    return [F.pad(side, (0, longest - side.shape[1])) for side in sides]


if __name__ == "__main__":
    main(train)
