"""The data doctor: each fault is found, with its place; sound data stays quiet."""

import json
import sys

import pytest

from nlp_adapt.data.doctor import SERIOUS, WARNING, examine, refuse_serious
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.data.loading import load_domain
from nlp_adapt.errors import DataError
from nlp_adapt.names import counted
from tests.helpers.doctored import TEXTS, alternating, domain, sentences
from tests.helpers.tiny_encoders import WORDS, tiny_tokenizer

TAGS = "token-classification"


def by_code(findings):
    return {(finding.domain, finding.code): finding for finding in findings}


def reviews(**changes):
    return domain("reviews", **{"train": alternating(sentences(60)), **changes})


def tweets(**changes):
    return domain("tweets", **{"unlabelled": sentences(60, seed=1), **changes})


def test_sound_data_has_no_findings():
    assert examine(reviews(), tweets(), tokenizer=tiny_tokenizer(), max_length=64) == []


def test_what_reading_left_out_is_repeated():
    found = by_code(examine(reviews(notes=("3 empty rows were left out.",)), tweets()))
    assert found["source", "reading"].message == "3 empty rows were left out."


def test_repeated_rows_name_both_places():
    texts = sentences(60, seed=1)
    texts[40:] = [text.upper() for text in texts[:20]]
    finding = by_code(examine(reviews(), tweets(unlabelled=texts)))["target", "duplicates"]
    assert (finding.count, finding.severity) == (20, WARNING)
    assert finding.rows[0] == "tweets-unlabelled:40 = tweets-unlabelled:0"
    assert len(finding.rows) == 5


def test_one_text_with_two_labels():
    rows = alternating(sentences(60))
    rows[7] = (rows[2][0], 1 - rows[2][1])
    found = by_code(examine(reviews(train=rows), tweets()))
    assert found["source", "conflicting-labels"].rows == ("reviews-train:2 / reviews-train:7",)
    assert "different labels" in found["source", "conflicting-labels"].message
    same = [*rows[:7], rows[2], *rows[8:]]
    assert ("source", "conflicting-labels") not in by_code(examine(reviews(train=same), tweets()))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("cafÃ© au lait", "encoding"),
        ("donâ€™t", "encoding"),
        ("broken \ufffd byte", "encoding"),
        ("zero\u200bwidth", "invisible"),
        ("bell \x07 here", "invisible"),
    ],
)
def test_damaged_text_is_found_and_placed(text, code):
    found = by_code(examine(reviews(), tweets(unlabelled=[*sentences(60, seed=1), text])))
    assert found["target", code].rows == ("tweets-unlabelled:60",)


@pytest.mark.parametrize(
    "text", ["café crème, déjà vu", "naïve 👩‍👧 «oui»", "Ærø\tÅ\nÖ", "ไทย हिन्दी"]
)
def test_sound_text_in_any_script_is_left_alone(text):
    codes = {finding.code for finding in examine(reviews(), tweets(unlabelled=[text] * 2))}
    assert not codes & {"encoding", "invisible"}


def test_rare_and_missing_classes():
    names = ("negative", "positive", "neutral", "mixed")
    rows = [(text, 0 if i else 1) for i, text in enumerate(sentences(60))]
    rows = [(text, 2 if i > 30 else label) for i, (text, label) in enumerate(rows)]
    found = by_code(examine(reviews(train=rows, names=names), tweets()))
    assert "positive (1, 1.7%)" in found["source", "imbalance"].message
    assert "neutral" not in found["source", "imbalance"].message
    assert "mixed" in found["source", "missing-class"].message


@pytest.mark.parametrize(("share", "severity"), [(0.25, WARNING), (0.75, SERIOUS)])
def test_target_test_rows_that_the_source_has_labels_for(share, severity):
    train = alternating(sentences(100))
    test = alternating(sentences(40, seed=5))
    known = int(40 * share)
    test[:known] = train[:known]
    findings = examine(reviews(train=train), tweets(test=test))
    finding = by_code(findings)["target", "leakage"]
    assert (finding.count, finding.severity) == (known, severity)
    assert finding.rows[1] == "tweets-test:1 = reviews-train:1"
    if severity == SERIOUS:
        assert findings[0] is finding
        with pytest.raises(
            DataError, match=r"30 of the target's 40 test rows.*data_doctor: report"
        ):
            refuse_serious(findings)
    else:
        refuse_serious(findings)


def test_test_rows_that_adaptation_reads_are_reported_not_refused():
    texts = sentences(60, seed=1)
    findings = examine(reviews(), tweets(unlabelled=texts, test=alternating(texts)))
    assert by_code(findings)["target", "leakage"].severity == WARNING
    refuse_serious(findings)


def test_source_leakage_without_a_target():
    rows = alternating(sentences(60))
    found = by_code(examine(reviews(train=rows, test=rows[:6])))
    assert found["source", "leakage"].count == 6


def test_labels_that_do_not_match_are_serious_and_a_map_is_proposed():
    rows = alternating(sentences(60, seed=3))
    target = tweets(test=rows, names=("bad", "splendid"))
    finding = examine(reviews(), target)[0]
    assert (finding.code, finding.severity) == ("labels", SERIOUS)
    assert "bad: negative" in finding.message


def test_label_gaps_and_order():
    rows = [(text, i % 2) for i, text in enumerate(sentences(60, seed=3))]
    three = [(text, i % 3) for i, text in enumerate(sentences(60))]
    source = reviews(train=three, names=("negative", "positive", "neutral"))
    found = by_code(examine(source, tweets(test=rows, names=("positive", "negative"))))
    assert "neutral" in found["target", "label-gap"].message
    assert found["both", "label-order"].advice == "They were matched by name."
    same = by_code(examine(source, tweets(test=rows)))
    assert ("both", "label-order") not in same


def test_classes_in_other_proportions():
    rows = [(text, int(i > 5)) for i, text in enumerate(sentences(60, seed=3))]
    finding = by_code(examine(reviews(), tweets(test=rows)))["both", "class-shares"]
    assert "negative 50% and 10%" in finding.message
    assert "auto" in finding.advice


def test_domains_that_differ_in_length():
    short = tweets(unlabelled=sentences(60, seed=1, length=3))
    assert ("both", "length") in by_code(examine(reviews(), short))


def test_domains_in_other_scripts_and_languages():
    russian = tweets(unlabelled=["Это был очень хороший день и всё."] * 30)
    assert "Cyrillic" in by_code(examine(reviews(), russian))["both", "script"].message
    ours = [f"{a}{b}" for a in "abcdefgh" for b in "abcdefgh"]
    theirs = [f"{a}{b}" for a in "opqrstuv" for b in "opqrstuv"]
    german = tweets(unlabelled=sentences(800, seed=1, words=theirs))
    english = reviews(train=alternating(sentences(800, words=ours)))
    assert ("both", "language") in by_code(examine(english, german))
    assert ("both", "language") not in by_code(examine(english, english))


@pytest.mark.parametrize(
    ("edit", "mark"),
    [
        (lambda text: text + "<br />", "HTML tags"),
        (lambda text: "@you " + text, "@mentions"),
        (lambda text: text + " #now", "#hashtags"),
        (lambda text: "see https://a.b " + text, "web links"),
        (str.lower, "no capital letters"),
        (lambda text: text.replace(".", " ."), "words set apart from punctuation"),
    ],
)
def test_marks_that_give_a_domain_away(edit, mark):
    ours, theirs = ([f"{text}.".capitalize() for text in sentences(60, seed)] for seed in (0, 1))
    target = tweets(unlabelled=[edit(text) for text in theirs])
    messages = [
        finding.message
        for finding in examine(reviews(train=alternating(ours)), target)
        if finding.code == "giveaway"
    ]
    assert any(mark in message for message in messages)


def test_texts_that_are_cut_vanish_or_are_unknown():
    texts = [*sentences(30, seed=1), *[" ".join(WORDS[:20])] * 10, "\u200b"]
    tokenizer = tiny_tokenizer()
    found = by_code(
        examine(reviews(), tweets(unlabelled=texts), tokenizer=tokenizer, max_length=16)
    )
    assert found["target", "overlong"].count == 10
    assert "24% of the texts are longer than max_length (16 tokens; the longest has 22)" in (
        found["target", "overlong"].message
    )
    foreign = ["nothing of this is known"] * 30
    found = by_code(examine(reviews(), tweets(unlabelled=foreign), tokenizer=tokenizer))
    assert "unknown to the tokenizer" in found["target", "unknown-tokens"].message


def test_text_without_a_token_is_found(tiny_model_dir):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    found = by_code(
        examine(reviews(), tweets(unlabelled=["a film", "\u200b"]), tokenizer=tokenizer)
    )
    assert found["target", "vanished"].rows == ("tweets-unlabelled:1",)


def test_tagged_sentences(tiny_model_dir):
    from transformers import AutoTokenizer

    def tagged(name, *rows):
        words, labels = zip(*rows, strict=True)
        places = [f"{name}:{i}" for i in range(len(rows))]
        names = ("O", "B-PER", "I-PER")
        return Domain(name, TAGS, train=make_dataset(TAGS, words, places, labels, names))

    source = tagged(
        "news",
        (["Ann", "was", "good"], [1, 0, 0]),
        (["ann", "was", "good"], [0, 0, 0]),  # tags depend on case: no contradiction
        (["Ann", "was", "good"], [0, 0, 0]),
        (["the", "\u200b"], [0, 0]),
    )
    target = tagged("posts", (["the"] * 40, [0] * 40))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    found = by_code(examine(source, target, tokenizer=tokenizer, max_length=16))
    assert found["source", "conflicting-labels"].rows == ("news:0 / news:2",)
    assert found["source", "vanished"].count == 1
    assert found["source", "vanished"].rows == ("news:3",)
    assert "every word is still predicted" in found["target", "overlong"].advice
    assert "(16 tokens; the longest has 42)" in found["target", "overlong"].message


def test_findings_show_places_and_never_texts():
    secret = "My number is 555-0199"
    rows = alternating([*sentences(60), secret, secret])
    findings = examine(reviews(train=rows), tweets(unlabelled=[secret + "\x07", secret]))
    written = json.dumps([finding.to_dict() for finding in findings]).casefold()
    assert "conflicting-labels" in written
    assert "555" not in written


def lines_run(rows):
    """How many lines of Python the doctor runs for so many rows of each domain."""
    source = reviews(train=alternating(sentences(rows, length=30)))
    target = tweets(unlabelled=sentences(rows, seed=1, length=30))
    tokenizer, count = tiny_tokenizer(), 0

    def traced(frame, event, argument):
        nonlocal count
        count += 1
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        examine(source, target, tokenizer=tokenizer, max_length=32)
    finally:
        sys.settrace(before)
    return count


def test_the_work_grows_with_the_rows_and_not_with_their_square():
    assert lines_run(1000) < 5 * lines_run(250)


# Bad lines that may be set aside

BROKEN = {
    "a.csv": (b'text,label\ngood,1\ncaf\xe9,0\n"two\nl\x00nes",1\na,b,c\nlast,0\n', [2, 7], 3),
    "a.jsonl": (
        b'{"text": "good"}\n{"text": \n"odd"\n{"text": "\xff"}\n{"text": "b"}\n',
        [1, 5],
        3,
    ),
    "a.txt": (b"one\nt\x00o\nthree\n", [1, 3], 1),
    "a.tsv": (b"text\tlabel\nonly\nfine\t1\n", [3], 1),
    "a.conll": (b"Ann B-PER\nran O\n\nhe \xff O\nran O\n\nend O\n", [1, 7], 1),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_lines_are_set_aside_on_request_with_their_rows(tmp_path, name):
    content, kept, bad = BROKEN[name]
    path = tmp_path / name
    path.write_bytes(content)
    task = TAGS if name == "a.conll" else TEXTS
    with pytest.raises(DataError, match=rf"{name}:\d"):
        load_domain(path, task=task)
    read = load_domain(path, task=task, quarantine=bad, test_fraction=0)
    rows = [row for split in read.splits.values() for row in split["row"]]
    assert sorted(rows) == [f"{name}:{line}" for line in kept]
    assert any(f"{counted(bad, 'unreadable line')} of {name} " in note for note in read.notes)
    if bad > 1:
        with pytest.raises(DataError, match=r"more unreadable lines than quarantine allows \(1\)"):
            load_domain(path, task=task, quarantine=1)


@pytest.mark.parametrize("content", [b"text,l\xffbel\na,1\n", b'text,label\n"open,1\nx,2\n'])
def test_what_no_row_can_do_without_is_refused_all_the_same(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.csv:[12] is not"):
        load_domain(path, quarantine=100)


def test_one_class_under_two_names_is_serious_and_a_likeness_a_warning():
    twice = alternating(sentences(60))
    for names, code in (
        (("pos", "Positive"), "same-class"),
        (("sport", "sports"), "similar-class"),
    ):
        found = by_code(examine(reviews(train=twice, names=names), tweets()))
        finding = found["source", code]
        assert finding.severity == (SERIOUS if code == "same-class" else WARNING)
        assert f"{names[1]} (30)" in finding.message
        assert "label_map: {" in finding.advice
    for names in (("positive", "negative"), ("c", "c++"), ("class 11", "class 12"), ("+", "-")):
        found = by_code(examine(reviews(train=twice, names=names), tweets()))
        assert not {"same-class", "similar-class"} & {code for _, code in found}


def test_one_file_named_for_both_domains_is_reported():
    rows = alternating(sentences(60))
    found = by_code(examine(reviews(train=rows), tweets(unlabelled=[text for text, _ in rows])))
    assert found["both", "same-texts"].count == 60
    half = [text for text, _ in rows[:20]] + sentences(60, seed=1)
    assert ("both", "same-texts") not in by_code(
        examine(reviews(train=rows), tweets(unlabelled=half))
    )


def test_shares_are_not_compared_where_the_classes_are_others():
    rows = alternating(sentences(60, seed=3))
    found = by_code(examine(reviews(), tweets(test=rows, names=("bad", "splendid"))))
    assert ("both", "labels") in found
    assert ("both", "class-shares") not in found
