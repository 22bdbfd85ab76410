"""How much a text looks like a domain, on features whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nlp_adapt.errors import ModelError
from nlp_adapt.likeness import STATISTICS, DomainStatistics, Likeness, load_likeness


def gaussian(seed: int, rows: int, shift: float = 0.0) -> np.ndarray:
    """Correlated features."""
    rng = np.random.default_rng(seed)
    mixing = np.array([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.0, 0.3, 0.1]])
    return rng.normal(size=(rows, 3)) @ mixing.T + shift


def test_distance_is_mahalanobis() -> None:
    rows = gaussian(0, 5000)
    fitted = DomainStatistics.fit(rows)
    inverse = np.linalg.inv(np.cov(rows.T))
    x = gaussian(1, 5) - rows.mean(0)
    expected = np.sqrt(np.array([row @ inverse @ row for row in x]) / 3)
    np.testing.assert_allclose(fitted.distance(x + rows.mean(0)), expected, rtol=0.2)


def test_own_texts_are_spread_over_the_percentiles_and_foreign_ones_are_far() -> None:
    fitted = DomainStatistics.fit(gaussian(0, 3000))
    own = fitted.likeness(fitted.distance(gaussian(1, 2000)))
    assert abs(np.quantile(own, [0.25, 0.5, 0.75]) - [0.25, 0.5, 0.75]).max() < 0.06
    assert fitted.likeness(fitted.distance(gaussian(2, 50, shift=30.0))).max() == 0.0


@pytest.mark.parametrize("rows", [6, 40])
def test_few_texts_and_constant_features_do_not_break_it(rows: int) -> None:
    features = np.random.default_rng(0).normal(size=(rows, 64)).astype(np.float32)
    features[:, 5] = 1.0
    fitted = DomainStatistics.fit(features)
    assert np.isfinite(fitted.distance(features)).all()
    assert np.isfinite(DomainStatistics.fit(np.ones((rows, 4))).distance(np.ones((2, 4)))).all()


def test_statistics_survive_the_file(tmp_path: Path) -> None:
    likeness = Likeness(
        {
            "source": DomainStatistics.fit(gaussian(0, 300)),
            "target": DomainStatistics.fit(gaussian(1, 300, shift=4.0)),
        }
    )
    likeness.save(tmp_path / "adaptation" / STATISTICS)
    loaded = load_likeness(str(tmp_path))
    assert loaded.columns == [
        *("distance_source", "likeness_source", "distance_target", "likeness_target"),
    ]
    for ours, theirs in zip(
        likeness.rows(gaussian(2, 20)), loaded.rows(gaussian(2, 20)), strict=True
    ):
        assert theirs == pytest.approx(ours, abs=0.02)
    source, target = loaded.rows(gaussian(3, 1))[0], loaded.rows(gaussian(3, 1, shift=4.0))[0]
    assert source["distance_source"] < source["distance_target"]
    assert target["distance_target"] < target["distance_source"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "adaptation").mkdir()
    (tmp_path / "adaptation" / STATISTICS).write_bytes(b"torn")
    with pytest.raises(ModelError, match=r"domain_statistics\.safetensors: cannot be read"):
        load_likeness(str(tmp_path))
