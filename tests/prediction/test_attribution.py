"""Which words drove a label and a domain, on a model whose reasons are known."""

import numpy as np
import pytest

from nlp_adapt.prediction.attribution import MOST_WORDS, domain_probe, word_effects


class Planted:
    """Says positive for texts with `superb`; its features tell texts with `@user`."""

    def predict_with_features(self, texts):
        answers, features = [], []
        for text in texts:
            score = 0.95 if "superb" in text else 0.4
            label = "positive" if score > 0.5 else "negative"
            scores = {"positive": score, "negative": 1 - score}
            answers.append({"label": label, "score": max(scores.values()), "scores": scores})
            features.append([float("@user" in text), 0.1 * len(text) % 1])
        return answers, np.array(features)


@pytest.fixture
def probe():
    rng = np.random.default_rng(0)
    source, target = np.zeros((40, 2)), np.ones((40, 2))
    source[:, 1], target[:, 1] = rng.uniform(size=(2, 40))
    return domain_probe(source, target)


def test_the_planted_words_have_the_effects(probe):
    (found,) = word_effects(Planted(), ["@user what a superb day"], probe)
    words = [found.text[start:end] for start, end in found.spans]
    assert words == ["@user", "what", "a", "superb", "day"]
    assert words[found.label.argmax()] == "superb"
    assert found.label[3] == pytest.approx(np.log(0.95 / 0.4))
    assert words[found.domain.argmax()] == "@user"
    assert found.domain[0] > 5 * np.abs(found.domain[1:]).max()
    assert not found.label[[0, 1, 2, 4]].any()


def test_a_word_may_speak_against_the_label(probe):
    class Doubt(Planted):
        def predict_with_features(self, texts):
            answers, features = super().predict_with_features(texts)
            for text, answer in zip(texts, answers, strict=True):
                answer["scores"] = {"negative": 0.6 if "superb" in text else 0.9}
                answer["label"] = "negative"
            return answers, features

    (found,) = word_effects(Doubt(), ["superb but dull"], probe)
    assert found.label[0] == pytest.approx(np.log(0.6 / 0.9))


def test_long_and_empty_texts(probe):
    long, empty = word_effects(Planted(), ["word " * 200, ""], probe)
    assert len(long.spans) == len(long.label) == MOST_WORDS
    assert empty.spans == []
