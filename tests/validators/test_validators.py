"""Label-free scores: what they reward, and that target labels cannot choose a model."""

import numpy as np
import pytest

from nlp_adapt.errors import ConfigError
from nlp_adapt.validators import (
    VALIDATORS,
    Predictions,
    Validator,
    features_are_read,
    score_all,
    selecting_validator,
)
from nlp_adapt.validators.scores import entropy


def logits_for(classes, sharpness, size=2):
    return sharpness * np.eye(size)[np.asarray(classes)].astype(np.float32)


LABELS = np.array([0, 1] * 10)
CERTAIN = logits_for(LABELS, 20)
UNDECIDED = np.zeros((20, 2), dtype=np.float32)
ONE_SIDED = logits_for(np.zeros(20, dtype=int), 20)


def test_information_maximisation_wants_certain_and_diverse_predictions():
    score = VALIDATORS["information_maximisation"].score
    assert score(Predictions(target_logits=CERTAIN)) == pytest.approx(1.0, abs=1e-6)
    assert score(Predictions(target_logits=UNDECIDED)) == pytest.approx(0.0, abs=1e-6)
    assert score(Predictions(target_logits=ONE_SIDED)) == pytest.approx(0.0, abs=1e-6)
    soft = np.log(np.array([[0.8, 0.2], [0.2, 0.8]]))
    by_hand = (np.log(2) + 0.8 * np.log(0.8) + 0.2 * np.log(0.2)) / np.log(2)
    assert score(Predictions(target_logits=soft)) == pytest.approx(by_hand)


def test_source_risk_is_balanced_and_passes_over_unknown_labels():
    labels = np.array([0] * 8 + [1, 1] + [-100])
    always_zero = logits_for(np.zeros(11, dtype=int), 5)
    predictions = Predictions(source_logits=always_zero, source_labels=labels)
    assert VALIDATORS["source_risk"].score(predictions) == pytest.approx(0.5)


def test_the_default_score_needs_both_domains_to_be_right():
    def score(source, target):
        predictions = Predictions(source, LABELS, target)
        return VALIDATORS["label_free"].score(predictions)

    best = score(CERTAIN, CERTAIN)
    assert best == pytest.approx(1.0, abs=1e-6)
    assert score(UNDECIDED, CERTAIN) < best
    assert score(CERTAIN, ONE_SIDED) < best


# An 80/20 target, and a model that is 95.4 % certain of each answer.
UNEVEN = np.array([0] * 80 + [1] * 20)
FLIPPED = np.array([0] * 50 + [1] * 50)  # wrong on 30 %


def sure(classes, certainty=0.9535):
    return np.log(np.where(np.eye(2)[classes] == 1, certainty, 1 - certainty))


def even_shares(target):
    """What `label_free` was: entropy of the mean prediction minus the mean entropy."""
    shares = np.exp(target)
    return (entropy(shares.mean(0)) - entropy(shares).mean()) / np.log(2)


def test_a_perfect_model_beats_one_that_evens_the_classes_out():
    """Even shares as the goal would give .750 to the model that is right, .866 to one 30 % wrong."""
    assert 0.5 * (1 + even_shares(sure(UNEVEN))) == pytest.approx(0.750, abs=0.002)
    assert 0.5 * (1 + even_shares(sure(FLIPPED))) == pytest.approx(0.866, abs=0.002)
    for name in ("label_free", "information_maximisation"):
        perfect, wrong = (
            VALIDATORS[name].score(Predictions(sure(UNEVEN), UNEVEN, sure(target)))
            for target in (UNEVEN, FLIPPED)
        )
        assert perfect > wrong + 0.1, name


def test_shares_that_the_user_knows_of_count_more_than_the_source_s():
    score = VALIDATORS["information_maximisation"].score
    told = np.array([0.8, 0.2])

    def of(target):
        return score(Predictions(sure(LABELS), LABELS, sure(target), target_shares=told))

    assert of(UNEVEN) > of(FLIPPED) + 0.1


def test_a_class_that_vanishes_costs_more_than_one_that_shrinks():
    score = VALIDATORS["information_maximisation"].score
    shrunk = np.array([0] * 90 + [1] * 10)
    found = [
        score(Predictions(sure(UNEVEN), UNEVEN, sure(target, 0.999)))
        for target in (UNEVEN, shrunk, np.zeros(100, dtype=int))
    ]
    assert found[0] > 0.98
    assert found[0] > found[1] > 0.5
    assert found[2] == pytest.approx(0.0, abs=0.02)


def test_words_are_chosen_by_the_task_s_own_score():
    predictions = Predictions(CERTAIN, LABELS, CERTAIN, source_quality=0.4)
    assert VALIDATORS["source_risk"].score(predictions) == 0.4
    assert VALIDATORS["label_free"].score(predictions) == pytest.approx(0.7, abs=1e-6)


def test_scores_that_do_not_apply_are_left_out():
    assert set(score_all(Predictions(CERTAIN, LABELS))) == {"source_risk"}
    assert set(score_all(Predictions(target_logits=CERTAIN))) == {"information_maximisation"}
    assert len(score_all(Predictions(CERTAIN, LABELS, CERTAIN))) == 4


def test_target_labels_never_choose():
    with pytest.raises(ConfigError, match="unknown validator 'target_accuracy'"):
        selecting_validator("target_accuracy")
    with pytest.raises(ConfigError, match="did you mean 'source_risk'"):
        selecting_validator("source_rist")
    assert selecting_validator("label_free") is VALIDATORS["label_free"]


class Compact(Validator):
    """How little the target's features vary."""

    reads_source = False
    reads_features = True

    def score(self, predictions):
        return -float(predictions.target_features.var())


def test_a_validator_of_features_applies_where_there_are_features(monkeypatch):
    assert not features_are_read()
    monkeypatch.setitem(VALIDATORS, "compact", Compact())
    assert features_are_read()
    assert "compact" not in score_all(Predictions(CERTAIN, LABELS, CERTAIN))
    found = score_all(Predictions(CERTAIN, LABELS, CERTAIN, target_features=np.eye(20)))
    assert found["compact"] == pytest.approx(-0.0475)
    assert selecting_validator("compact") is VALIDATORS["compact"]


class Cheat(Validator):
    """Would read the target's labels."""

    def score(self, predictions):
        labels = predictions.target_labels
        return float((predictions.target_logits.argmax(-1) == labels).mean())


def test_labels_of_the_target_cannot_reach_a_validator(monkeypatch):
    monkeypatch.setitem(VALIDATORS, "cheat", Cheat())
    with pytest.raises(AttributeError, match="target_labels"):
        score_all(Predictions(CERTAIN, LABELS, ONE_SIDED))
    with pytest.raises(TypeError):
        Predictions(CERTAIN, LABELS, CERTAIN, target_labels=LABELS)
