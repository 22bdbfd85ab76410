"""Rows on the page: which are chosen, and that nobody's text is obeyed."""

import numpy as np

from nlp_adapt.prediction.tagged_text import join_words, with_tags
from nlp_adapt.reporting.page.build import build_report
from nlp_adapt.reporting.page.examples import sentence_examples, tagged_examples
from nlp_adapt.reporting.page.material import Material
from tests.helpers.report_runs import HOSTILE, classifier_results


class Model:
    """Says positive where `cue` stands in a text."""

    def __init__(self, cue):
        self.cue = cue

    def predict_with_features(self, texts):
        answers = []
        for text in texts:
            score = 0.9 if self.cue in text else 0.2
            scores = {"positive": score, "negative": 1 - score}
            label = max(scores, key=scores.get)
            answers.append({"label": label, "score": scores[label], "scores": scores})
        return answers, np.array([[len(text) % 7, float("film" in text)] for text in texts])


TEXTS = ["good day", f"{HOSTILE} great day", "a bad day", "good and great"]
TRUTHS = ["positive", "positive", "negative", None]


def section():
    models = {"source-only": Model("good"), "dann": Model("great")}
    source = ["a film", "the film", "films"]
    return sentence_examples(TEXTS, TRUTHS, models, source, None, 2)


def test_errors_and_differences_are_chosen():
    text = section()
    errors, differ = text.split("<details open>")[1:]
    assert "Surest errors" in errors
    assert errors.count("<li>") == 1
    assert "Where the models differ" in differ
    assert differ.count("<li>") == 2
    assert '<mark class="for3' in text
    assert "never pushed" in text


def test_nobodys_text_is_obeyed():
    text = section()
    assert "<script" not in text
    assert "\u202e" not in text
    assert "&lt;script&gt;" in text or "&lt;" in text
    page = build_report(Material(classifier_results()), text)
    assert '<section id="examples">' in page
    assert '<a href="#examples">' in page


def test_sentences_of_a_tagger():
    words = [["anna", "saw", "<b>rome</b>"], ["leo", "ran", "home"]]
    tags = {
        "source-only": [["B-PER", "O", "O"], ["O", "O", "O"]],
        "dann": [["B-PER", "O", "B-LOC"], ["O", "O", "O"]],
    }
    sentences = [join_words(one) for one in words]
    tagged = {
        name: with_tags(sentences, [[(tag, 0.9) for tag in row] for row in rows])
        for name, rows in tags.items()
    }
    labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    text = tagged_examples(tagged, tagged["dann"], labels, 5, "tagged.html")
    assert text.count("<li>") == 1  # the models differ on one, and dann is right on both
    assert '<mark class="ent c0" title="90 %">anna<small>PER</small></mark>' in text
    assert "&lt;b&gt;rome&lt;/b&gt;" in text
    assert 'href="tagged.html"' in text
