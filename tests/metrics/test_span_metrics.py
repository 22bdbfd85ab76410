import json
import random
import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import (
    precision_recall_fscore_support as sequence_labelling,
)
from seqeval.metrics.v1 import precision_recall_fscore_support as sequence_labelling_strict
from seqeval.scheme import IOB2

from nlp_adapt.errors import AdaptationError
from nlp_adapt.metrics import entity_surfaces, span_metrics

TAGS = ["O", "B-PER", "I-PER", "B-creative-work", "I-creative-work"]
sentence = st.integers(0, 8).flatmap(
    lambda n: st.tuples(
        st.lists(st.sampled_from(TAGS), min_size=n, max_size=n),
        st.lists(st.sampled_from(TAGS), min_size=n, max_size=n),
        st.lists(st.sampled_from(["Ann", "ann", "ANN", "Bo", "the"]), min_size=n, max_size=n),
    )
)
corpus = st.lists(sentence, min_size=1, max_size=6)


def spans(rows, lenient=False):
    """(sentence, start, end, type) of every entity, read off the tags one by one."""
    found = set()
    for row, tags in enumerate(rows):
        start = kind = None
        for i, tag in enumerate([*tags, "O"]):
            continues = start is not None and tag == f"I-{kind}"
            if start is not None and not continues:
                found.add((row, start, i, kind))
                start = None
            if tag[0] == "B" or (lenient and tag[0] == "I" and not continues):
                start, kind = i, tag[2:]
    return found


def ratios(true, predicted):
    both = len(true & predicted)
    return {
        "precision": both / len(predicted) if predicted else 0.0,
        "recall": both / len(true) if true else 0.0,
        "f1": 2 * both / (len(true) + len(predicted)) if true or predicted else 0.0,
        "support": len(true),
    }


def of_type(found, kind):
    return {span for span in found if span[3] == kind}


@settings(deadline=None)
@given(corpus)
def test_scores_equal_set_arithmetic(rows):
    truth, guesses = [r[0] for r in rows], [r[1] for r in rows]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = span_metrics(truth, guesses)
    for lenient, scores in ((False, result), (True, result["lenient"])):
        true, predicted = spans(truth, lenient), spans(guesses, lenient)
        expected = ratios(true, predicted)
        assert {key: scores[key] for key in expected} == pytest.approx(expected)
        types = sorted({span[3] for span in true | predicted})
        assert list(scores["per_type"]) == types
        for kind in types:
            by_type = ratios(of_type(true, kind), of_type(predicted, kind))
            assert scores["per_type"][kind] == pytest.approx(by_type)
        for key in ("precision", "recall", "f1"):
            per_type = [scores["per_type"][kind][key] for kind in types]
            mean = sum(per_type) / len(types) if types else 0.0
            assert scores[f"macro_{key}"] == pytest.approx(mean)


@settings(deadline=None)
@given(corpus)
def test_scores_are_those_of_seqeval_to_the_last_bit(rows):
    truth, guesses = [r[0] for r in rows], [r[1] for r in rows]
    result = span_metrics(truth, guesses)
    strict = partial(sequence_labelling_strict, scheme=IOB2)
    for scores, oracle in ((result, strict), (result["lenient"], sequence_labelling)):
        *ratios, support = oracle(truth, guesses, average="micro", zero_division=0)
        assert [scores[key] for key in ("precision", "recall", "f1")] == [*ratios]
        assert scores["support"] == support
        if not scores["per_type"]:
            continue
        *ratios, support = oracle(truth, guesses, average=None, zero_division=0)
        for place, (_, own) in enumerate(sorted(scores["per_type"].items())):
            found = [own[key] for key in ("precision", "recall", "f1")]
            assert found == [ratio[place] for ratio in ratios]
            assert own["support"] == support[place]


def test_the_variance_of_f1_agrees_with_resampling_sentences():
    """Sentences that go wrong as a whole: spans are not independent of their neighbours."""
    rng = np.random.default_rng(0)
    truth, guesses = [], []
    for _ in range(150):
        tags = ["B-X" if rng.random() < 0.6 else "O" for _ in range(rng.integers(1, 9))]
        lost = rng.random() < 0.3
        truth.append(tags)
        guesses.append(["O" if lost or rng.random() < 0.1 else tag for tag in tags])
    draws = rng.integers(0, 150, (400, 150))
    scores = [
        ratios(*(spans([rows[i] for i in chosen]) for rows in (truth, guesses)))["f1"]
        for chosen in draws
    ]
    found = span_metrics(truth, guesses)["f1_variance"]
    assert found == pytest.approx(np.var(scores), rel=0.2)
    assert span_metrics([["O"]], [["O"]])["f1_variance"] == 0.0
    assert span_metrics(truth, truth)["f1_variance"] == 0.0


@settings(deadline=None)
@given(corpus)
def test_every_span_has_exactly_one_error_class(rows):
    truth, guesses = [r[0] for r in rows], [r[1] for r in rows]
    true, predicted = spans(truth), spans(guesses)
    errors = span_metrics(truth, guesses)["errors"]
    shared = errors["correct"] + errors["wrong_type"] + errors["wrong_boundary"]
    assert shared + errors["missed"] == len(true)
    assert shared + errors["spurious"] == len(predicted)
    assert errors["correct"] == len(true & predicted)
    same_place = {s[:3] for s in true} & {s[:3] for s in predicted}
    assert errors["wrong_type"] == len(same_place) - errors["correct"]
    # A pair with the wrong boundary needs a true span that some span of its type overlaps.
    overlapped = {
        t
        for t in true
        for p in predicted
        if t[0] == p[0] and t[3] == p[3] and t[1] < p[2] and p[1] < t[2]
        if t[:3] not in same_place and p[:3] not in same_place
    }
    assert errors["wrong_boundary"] <= len(overlapped)
    assert bool(errors["wrong_boundary"]) == bool(overlapped)


@pytest.mark.parametrize(
    ("reference", "prediction", "expected"),
    [
        ("B-PER I-PER O", "B-PER I-PER O", {"correct": 1}),
        ("B-PER I-PER O", "B-LOC I-LOC O", {"wrong_type": 1}),
        ("B-PER I-PER O", "B-PER O O", {"wrong_boundary": 1}),
        ("B-PER I-PER O", "O O O", {"missed": 1}),
        ("O O O", "O B-PER O", {"spurious": 1}),
        ("B-PER I-PER O", "O B-LOC I-LOC", {"missed": 1, "spurious": 1}),
        # One true span, two pieces of it: one match, one too many.
        ("B-PER I-PER I-PER", "B-PER B-PER I-PER", {"wrong_boundary": 1, "spurious": 1}),
        # The two long spans share most words: they match, which leaves both short ones alone.
        (
            "B-PER B-PER I-PER I-PER I-PER",
            "B-PER I-PER I-PER I-PER B-PER",
            {"wrong_boundary": 1, "missed": 1, "spurious": 1},
        ),
        # A correct span is not available as a wrong boundary for its neighbour.
        ("B-PER B-PER", "B-PER O", {"correct": 1, "missed": 1}),
        # The strict reading: an I- that continues nothing is no entity.
        ("B-PER I-PER", "I-PER I-PER", {"missed": 1}),
    ],
)
def test_error_classes(reference, prediction, expected):
    counts = span_metrics([reference.split()], [prediction.split()])["errors"]
    assert {name: n for name, n in counts.items() if n} == expected


@settings(deadline=None)
@given(corpus, st.sets(st.sampled_from([("ann", "PER"), ("Ann Bo", "PER"), ("BO", "LOC")])))
def test_novelty_splits_the_scores_in_two(rows, train):
    truth, guesses, tokens = ([r[i] for r in rows] for i in range(3))
    result = span_metrics(truth, guesses, tokens=tokens, seen_entities=train)["novelty"]

    def seen(span):
        row, start, end, kind = span
        surface = " ".join(tokens[row][start:end]).lower()
        return (surface, kind) in {(s.lower(), k) for s, k in train}

    for side, wanted in (("seen", True), ("unseen", False)):
        true = {s for s in spans(truth) if seen(s) is wanted}
        predicted = {s for s in spans(guesses) if seen(s) is wanted}
        expected = {**ratios(true, predicted), "predicted": len(predicted)}
        assert result[side] == pytest.approx(expected)


def test_novelty_from_training_data_ignores_case_and_minds_type():
    train = entity_surfaces([["B-PER", "I-PER", "O"]], [["Ann", "STRASSE", "ran"]])
    assert train == {("ann strasse", "PER")}
    result = span_metrics(
        [["B-PER", "I-PER", "O", "B-LOC", "I-LOC"]],
        [["B-PER", "I-PER", "O", "O", "O"]],
        tokens=[["ann", "straße", "in", "Ann", "Strasse"]],
        seen_entities=train,
    )
    assert result["novelty"]["seen"]["recall"] == 1.0
    assert result["novelty"]["unseen"]["support"] == 1
    assert result["novelty"]["unseen"]["recall"] == 0.0


def test_types_the_model_lacks_are_reported_and_missed():
    truth = [["B-PER", "O", "B-LOC", "B-group"]]
    guesses = [["B-PER", "O", "B-LOC", "O"]]
    result = span_metrics(truth, guesses, model_types={"PER", "LOC", "MISC"})
    assert result["covered_types"] == ["LOC", "PER"]
    assert result["uncovered_types"] == ["group"]
    assert result["model_only_types"] == ["MISC"]
    assert result["recall"] == pytest.approx(2 / 3)
    assert result["per_type"]["group"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert result["macro_f1"] == pytest.approx(2 / 3)
    assert result["errors"]["missed"] == 1
    unknown = span_metrics(truth, guesses)
    assert unknown["covered_types"] is None
    assert unknown["uncovered_types"] is None


def test_errors_by_type_add_up_to_all_errors():
    rng = random.Random(5)
    names = ["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG"]
    rows = [[[rng.choice(names) for _ in range(8)] for _ in range(60)] for _ in range(2)]
    found = span_metrics(*rows)
    by_type = found["errors_by_type"]
    assert set(by_type) == {"LOC", "ORG", "PER"}
    for kind, count in found["errors"].items():
        assert sum(own[kind] for own in by_type.values()) == count
    for kind, own in by_type.items():
        true = sum(count for name, count in own.items() if name != "spurious")
        assert true == found["per_type"][kind]["support"]


def test_a_wrong_type_counts_under_the_true_one():
    found = span_metrics([["B-PER", "O", "B-LOC"]], [["B-LOC", "B-LOC", "O"]])["errors_by_type"]
    assert found["PER"] == error_counts_of(wrong_type=1)
    assert found["LOC"] == error_counts_of(missed=1, spurious=1)


def error_counts_of(**counts):
    kinds = ("correct", "wrong_type", "wrong_boundary", "missed", "spurious")
    return {**dict.fromkeys(kinds, 0), **counts}


def test_no_entities_score_zero_in_silence(recwarn, capfd):
    result = span_metrics([["O", "O"], []], [["O", "O"], []])
    assert (result["f1"], result["macro_f1"], result["support"]) == (0.0, 0.0, 0)
    assert result["lenient"]["f1"] == 0.0
    assert result["per_type"] == {}
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


def test_result_is_plain_json_in_a_fixed_order():
    truth, guesses = [["B-PER", "I-PER", "B-LOC"]], [["I-PER", "I-PER", "B-LOC"]]
    options = {"tokens": [["a", "b", "c"]], "seen_entities": [("c", "LOC")]}
    one = span_metrics(truth, guesses, model_types=["PER", "LOC"], **options)
    other = span_metrics(truth, guesses, model_types=["LOC", "PER"], **options)
    assert json.dumps(one) == json.dumps(other)
    assert (one["f1"], one["lenient"]["f1"]) == (pytest.approx(2 / 3), 1.0)


@pytest.mark.parametrize(
    ("references", "predictions", "message"),
    [
        ([], [], "no rows to score"),
        ([["O"], ["O"]], [["O"]], "Row 1 of the references has no partner"),
        ([["O"], ["O", "O"]], [["O"], ["O"]], "Row 1 has 2 items in the references and 1 in"),
        ([["O"]], [["S-PER"]], "Row 0 of the predictions has 'S-PER' at position 0.*BIO"),
        ([["O", "B-"]], [["O", "O"]], "Row 0 of the references has 'B-' at position 1"),
        ([["B-x-"]], [["O"]], "'B-x-'"),
        ([["O", 3]], [["O", "O"]], "has 3 at position 1"),
        ([["O", None]], [["O", "O"]], "has None at position 1"),
        (["O O"], [["O", "O"]], "Row 0 of the references is 'O O', not a list of tags"),
        ([None], [["O"]], "Row 0 of the references is None"),
        (None, [["O"]], "The references are None"),
    ],
)
def test_bad_tags_are_named(references, predictions, message):
    with pytest.raises(AdaptationError, match=message):
        span_metrics(references, predictions)


def test_options_that_do_not_fit_are_refused():
    rows = [["B-PER"]]
    with pytest.raises(AdaptationError, match="give tokens as well"):
        span_metrics(rows, rows, seen_entities=[("ann", "PER")])
    with pytest.raises(AdaptationError, match="Row 0 has 2 items in the tokens and 1 in the ref"):
        span_metrics(rows, rows, seen_entities=[], tokens=[["a", "b"]])
    with pytest.raises(AdaptationError, match=r"Row 0 of the predictions has 'B-PER'.*LOC"):
        span_metrics(rows, rows, model_types=["LOC"])
