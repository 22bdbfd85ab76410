"""How much a text looks like the domains that a model was trained on.

A domain is described by the mean and covariance of its features, which are what the classifier
reads. The Mahalanobis distance of a text to it is compared with the distances of the domain's own
texts that were held out of the description. The covariance is shrunk towards a multiple of the
identity, so that a few hundred texts suffice (Ledoit and Wolf 2004, J. Multivariate Analysis 88;
Lee et al. 2018, NeurIPS, for the distance as a measure of what a classifier does not know).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from nlp_adapt.data.batches.encoded import EncodedRows
from nlp_adapt.errors import ModelError

STATISTICS = "domain_statistics.safetensors"
SIDES = ("source", "target")
# What costs time is the encoder's pass over these texts. 400 describe 384 features, since those of a
# trained classifier vary in few directions; 200 held out give percentiles to within 0.1. Film
# reviews and tweets are told apart as well as by 1,500 texts (area under the curve 0.986 and 0.990).
MOST_TEXTS = 600
FEWEST_TEXTS = 6
HELD_OUT = 3  # every third text is compared, not described


@dataclass(frozen=True)
class DomainStatistics:
    """Where the texts of one domain lie.

    Attributes:
        mean: `[features]`.
        precision: `[features, features]`, the inverse of the shrunk covariance.
        distances: `[texts]` sorted distances of texts that were held out.
    """

    mean: np.ndarray
    precision: np.ndarray
    distances: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray) -> "DomainStatistics":
        """Describe a domain by the features `[texts, features]` of some of its texts."""
        from sklearn.covariance import ledoit_wolf

        features = features.astype(np.float64)
        held = np.arange(len(features)) % HELD_OUT == 0
        described = features[~held]
        mean = described.mean(0)
        covariance, _ = ledoit_wolf(described)
        # Features that never vary would have no inverse.
        floor = 1e-6 * max(float(np.trace(covariance)) / len(mean), 1e-12)
        precision = np.linalg.inv(covariance + floor * np.eye(len(mean)))
        unfinished = cls(mean, precision, np.zeros(0))
        return cls(mean, precision, np.sort(unfinished.distance(features[held])))

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Mahalanobis distance of each row of `[texts, features]`, over the square root of its width.

        About 1 for typical texts, whatever the width.
        """
        centred = features.astype(np.float64) - self.mean
        squared = np.einsum("ij,jk,ik->i", centred, self.precision, centred)
        return np.sqrt(np.maximum(squared, 0.0) / len(self.mean))

    def likeness(self, distance: np.ndarray) -> np.ndarray:
        """Share of the domain's own texts that are at least as far away: 1 typical, 0 foreign."""
        below = np.searchsorted(self.distances, distance, side="left")
        return 1.0 - below / len(self.distances)


@dataclass(frozen=True)
class Likeness:
    """The statistics of a run's domains: `source` and, where there was one, `target`."""

    domains: Mapping[str, DomainStatistics]

    @property
    def columns(self) -> list[str]:
        """What `rows` says of each text."""
        return [f"{kind}_{side}" for side in self.domains for kind in ("distance", "likeness")]

    def rows(self, features: np.ndarray) -> list[dict[str, float]]:
        """Distance and likeness of each row of `[texts, features]`, for each domain."""
        values: list[np.ndarray] = []
        for domain in self.domains.values():
            distance = domain.distance(features)
            values += [distance, domain.likeness(distance)]
        return [
            {name: round(float(one), 4) for name, one in zip(self.columns, row, strict=True)}
            for row in zip(*values, strict=True)
        ]

    def save(self, path: Path) -> None:
        """Write the statistics as float32 safetensors, whole or not at all."""
        import torch

        from nlp_adapt.files import flattened, write_tensors

        values = flattened({side: vars(domain) for side, domain in self.domains.items()})
        write_tensors(
            path, {key: torch.from_numpy(own.astype(np.float32)) for key, own in values.items()}
        )


def domain_samples(rows: Mapping[str, EncodedRows], seed: int) -> dict[str, EncodedRows]:
    """The texts that each domain is described by: at most 600, drawn from its training `rows`."""
    samples = {}
    for side in SIDES:
        if side in rows:
            order = np.random.default_rng([seed, 11]).permutation(len(rows[side]))[:MOST_TEXTS]
            samples[side] = rows[side].select(np.sort(order)).without_labels()
    return samples


def measure_domains(predictor: Any, samples: Mapping[str, EncodedRows]) -> Likeness | None:
    """Describe the training domains of a model by samples; None where one has too few texts."""
    domains = {}
    for side, sample in samples.items():
        if len(sample) < FEWEST_TEXTS:
            return None
        _, features = predictor.logits_and_features(sample)
        if sample.positions is not None:  # a text is as the mean of its words
            features = group_means(features, np.repeat(np.arange(len(sample)), sample.unit_counts))
        domains[side] = DomainStatistics.fit(features)
    return Likeness(domains)


def group_means(features: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Means of features `[units, width]` over the units of each of `groups` `[units]`, in order."""
    found, places = np.unique(groups, return_inverse=True)
    totals = np.zeros((len(found), features.shape[1]))
    np.add.at(totals, places, features)
    return totals / np.bincount(places, minlength=len(found))[:, None]


def load_likeness(model: str) -> Likeness:
    """The statistics beside a saved or pushed model."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from nlp_adapt.files import nested

    path = _find(model)
    if path is None:
        raise ModelError(
            f"{model}: has no adaptation/{STATISTICS}, which --domain_likeness reads; give the run "
            "folder, or train again."
        )
    parts = [field.name for field in fields(DomainStatistics)]
    try:
        found = nested(load_file(path))
        return Likeness(
            {
                side: DomainStatistics(*(found[side][one] for one in parts))
                for side in SIDES
                if side in found
            }
        )
    except (OSError, KeyError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); train again.") from error


def _find(model: str) -> Path | None:
    folder = Path(model).expanduser()
    if folder.is_dir():
        places = [folder]
        # Of a run only its own model, not its twin or what it fell back from.
        if folder.resolve().name == "model":
            places.append(folder.parent)
        files = (place / "adaptation" / STATISTICS for place in places)
        return next(filter(Path.is_file, files), None)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(hf_hub_download(model, f"adaptation/{STATISTICS}"))
    except (OSError, HFValidationError):  # what the Hub's client raises derives from OSError
        return None
