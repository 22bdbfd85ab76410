"""What a report says of the target's class shares: told ones, or estimates that nothing acts on."""

from nlp_adapt.reporting.results import share_sentences

PREDICTED = {"evidence": {"predicted": {"negative": 0.58, "positive": 0.42}}}
ESTIMATES = {
    "em": {"negative": 0.69, "positive": 0.31},
    "bbse": {"negative": 0.5, "positive": 0.5},
}


def run(shares, **scores):
    return {"adapted": {**PREDICTED, **scores, "class_shares": shares}}


def test_estimates_are_shown_beside_what_is_predicted():
    (sentence,) = share_sentences(run({"estimated": ESTIMATES}))
    assert "predicted negative 58, positive 42; EM estimates negative 69, positive 31" in sentence
    assert "Nothing acts on these" in sentence


def test_told_shares_stand_with_those_before_instead():
    told = {"told": {"negative": 0.7, "positive": 0.3}, "predicted_before": {"negative": 0.58}}
    (sentence,) = share_sentences(run({**told, "estimated": ESTIMATES}))
    assert sentence == (
        "Decisions keep to the told class shares (negative 70, positive 30 %; before: negative 58)."
    )


def test_nothing_is_said_of_many_classes_of_words_or_by_earlier_runs():
    many = {str(number): 0.1 for number in range(10)}
    assert share_sentences(run({"estimated": ESTIMATES}, evidence={"predicted": many})) == []
    assert share_sentences(run(None)) == []
    assert share_sentences({"adapted": PREDICTED}) == []
