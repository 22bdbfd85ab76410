"""What the doctor says of several sources or targets: which it is about, and what lies between them."""

from nlp_adapt.data.doctor import SERIOUS, WARNING, examine
from nlp_adapt.data.domain import Domain, make_dataset
from tests.helpers.doctored import alternating, domain, sentences
from tests.helpers.several_domains import tag_domain
from tests.helpers.tiny_encoders import tiny_tokenizer


def source(name, seed, **changes):
    return domain(name, **{"train": alternating(sentences(60, seed=seed))} | changes)


def target(name, seed, **changes):
    return domain(name, **{"unlabelled": sentences(60, seed=seed)} | changes)


def found(*sides, **options):
    return {(f.domain, f.code): f for f in examine(*sides, **options)}


def test_sound_domains_have_no_findings():
    sources = [source("books", 0), source("films", 1)]
    targets = [target("tweets", 2), target("posts", 3)]
    assert examine(sources, targets, tokenizer=tiny_tokenizer(), max_length=64) == []
    assert examine(sources) == []


def test_a_finding_names_the_domain_that_it_is_about():
    damaged = target("posts", 3, unlabelled=[*sentences(59, seed=3), "cafÃ©"])
    sources = [source("books", 0), source("films", 1)]
    findings = found(sources, [target("tweets", 2), damaged])
    assert list(findings) == [("target posts", "encoding")]
    assert list(found(sources, damaged)) == [("target", "encoding")]


def test_what_lies_between_two_domains_names_both():
    long = source("books", 0, train=alternating(sentences(60, length=40)))
    findings = found([long, source("films", 1)], target("tweets", 2))
    assert list(findings) == [("books, tweets", "length")]


def test_what_concerns_one_domain_is_said_once_however_many_pairs_it_is_in():
    texts = sentences(60, seed=2)
    seen = target("tweets", 2, unlabelled=texts, test=alternating(texts[:10]))
    findings = examine([source("books", 0), source("films", 1), source("toys", 5)], seen)
    assert [finding.code for finding in findings] == ["leakage"]


def test_test_rows_that_another_source_trains_on_are_found():
    texts = sentences(60, seed=1)
    held = source("books", 0, test=alternating(texts[:8]))
    finding = found([held, source("films", 1)])["source books", "leakage"]
    assert (finding.severity, finding.count) == (WARNING, 8)
    assert "labelled row of the source films" in finding.message
    assert finding.rows[0] == "books-test:0 = films-train:0"


def test_a_source_that_lacks_labels_is_named_and_not_measured_against_the_target():
    names = ("negative", "positive", "mixed")
    rows = [(text, i % 3) for i, text in enumerate(sentences(60, seed=1))]
    wide = domain("films", train=rows, names=names)
    other = domain("tweets", train=[(t, i % 3) for i, t in enumerate(sentences(60, seed=2))],
                   names=names)  # fmt: skip
    findings = found([source("books", 0), wide], other)
    gap = findings.pop(("source books", "label-gap"))
    assert "no labelled row of mixed, which films has" in gap.message
    assert not [code for _, code in findings if code == "labels"]


def test_types_of_entity_that_one_source_leaves_untagged_contradict_the_other():
    people = tag_domain("books", 30, names=("O", "B-PER", "I-PER"))
    findings = found([tag_domain("films", 40), people])
    assert "contradicts the other source" in findings["source books", "label-gap"].advice


def test_labels_that_do_not_match_are_serious():
    texts = sentences(60, seed=1)
    places = [f"films:{i}" for i in range(60)]
    other = Domain("films", "sequence-classification", train=make_dataset(
        "sequence-classification", texts, places, [i % 2 for i in range(60)], ("pos", "neg")
    ))  # fmt: skip
    finding = found([source("books", 0), other], target("tweets", 2))["source", "labels"]
    assert finding.severity == SERIOUS
    assert "label_map: {pos: positive, neg: negative}" in finding.message
