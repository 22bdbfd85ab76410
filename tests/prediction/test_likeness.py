"""How much a text looks like a domain, on features whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nlp_adapt.data.batches.encoded import pack_rows
from nlp_adapt.errors import ModelError
from nlp_adapt.prediction.likeness import (
    MOST_TEXTS,
    STATISTICS,
    DomainStatistics,
    Likeness,
    domain_samples,
    load_likeness,
    measure_domains,
)


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


ROTATION = np.linalg.qr(np.random.default_rng(99).normal(size=(384, 384)))[0]


def wide(seed: int, rows: int, shift: float = 0.0) -> np.ndarray:
    """384 features as a trained classifier's: few directions hold most of what varies."""
    rng = np.random.default_rng(seed)
    scales = 1.0 / (1.0 + np.arange(384))
    centred = rng.normal(size=(rows, 384)) * scales
    centred[:, 4:10] += shift * scales[4:10]
    return centred @ ROTATION


def told_apart(texts: int) -> float:
    """How well two domains are, by a fit on so many texts of each (area under the curve)."""
    one = DomainStatistics.fit(wide(0, texts))
    other = DomainStatistics.fit(wide(2, texts, shift=1.5))
    rows = np.concatenate([wide(3, 500), wide(4, 500, shift=1.5)])
    return roc_auc_score(np.arange(1000) >= 500, one.distance(rows) - other.distance(rows))


def test_the_texts_that_are_drawn_suffice_for_wide_features() -> None:
    """Percentiles to within a tenth, and domains told apart as with many more texts."""
    fitted = DomainStatistics.fit(wide(0, MOST_TEXTS))
    own = fitted.likeness(fitted.distance(wide(1, 1500)))
    assert abs(np.quantile(own, [0.25, 0.5, 0.75]) - [0.25, 0.5, 0.75]).max() < 0.1
    enough, many = told_apart(MOST_TEXTS), told_apart(3 * MOST_TEXTS)
    assert enough > 0.88
    assert enough > many - 0.02


def test_no_more_texts_are_drawn_than_needed() -> None:
    rows = pack_rows([[2, 5 + index % 50, 3] for index in range(MOST_TEXTS + 200)])
    few = pack_rows([[2, 5, 3]] * 9)
    drawn = domain_samples({"source": rows, "target": few, "few_shot": few}, seed=3)
    assert {side: len(sample) for side, sample in drawn.items()} == {
        "source": MOST_TEXTS,
        "target": 9,
    }
    again, other = (domain_samples({"source": rows}, seed=seed)["source"] for seed in (3, 4))
    assert np.array_equal(drawn["source"].ids, again.ids)
    assert not np.array_equal(drawn["source"].ids, other.ids)


def test_too_few_texts_describe_nothing() -> None:
    class Reader:
        def logits_and_features(self, rows):
            return None, np.random.default_rng(0).normal(size=(len(rows), 4))

    many, few = pack_rows([[2, 5, 3]] * 9), pack_rows([[2, 5, 3]] * 5)
    described = measure_domains(Reader(), {"source": many})
    assert described is not None
    assert list(described.domains) == ["source"]
    assert measure_domains(Reader(), {"source": many, "target": few}) is None


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
