"""Label spaces matched by name."""

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from nlp_adapt.data.label_spaces import check_source, compare_labels, label_counts, match_labels
from nlp_adapt.data.loading import load_domain
from nlp_adapt.errors import DataError


def domain(labels, name="x", **options):
    data = [{"text": f"{name} {i}", "label": label} for i, label in enumerate(labels)]
    return load_domain(data, name=name, test_fraction=0, **options)


def tagged(tags, name="x"):
    data = [{"tokens": [f"{name}{i}"], "tags": [tag]} for i, tag in enumerate(tags)]
    return load_domain(data, name=name, task="token-classification", test_fraction=0)


def class_label_domain(names, ids):
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    data = Dataset.from_dict({"text": [f"t{i}" for i in range(len(ids))], "label": ids}, features)
    return load_domain(data, test_fraction=0)


def test_swapped_class_label_order_is_matched_by_name():
    source = class_label_domain(["neg", "pos"], [0, 1])
    target = class_label_domain(["pos", "neg"], [0, 0, 1])
    assert match_labels(source, target).shared == ("neg", "pos")
    recoded = target.with_labels(source.label_names)
    assert recoded.label_names == ("neg", "pos")
    assert list(recoded.train["label"]) == [1, 1, 0]


def test_case_and_space_do_not_matter():
    source, target = domain(["negative", "positive"]), domain([" Positive", "NEGATIVE "])
    assert match_labels(source, target).shared == ("negative", "positive")
    assert list(target.with_labels(source.label_names).train["label"]) == [1, 0]


def test_the_target_may_lack_labels_or_some_classes():
    source = domain(["a", "b", "c"])
    assert match_labels(source, domain([None, None])).source_only == ("a", "b", "c")
    space = match_labels(source, domain(["b", "b"]))
    assert (space.shared, space.source_only, space.target_only) == (("b",), ("a", "c"), ())


def test_zero_and_one_are_not_guessed_but_a_map_is_proposed():
    source, target = domain(["negative", "positive"]), domain([0, 1], "target")
    message = r'labels of target \(0, 1\).*lacks: 0, 1.*\{"0": negative, "1": positive\}'
    with pytest.raises(DataError, match=message):
        match_labels(source, target)
    mapped = domain([0, 1], label_map={0: "negative", 1: "positive"})
    assert match_labels(source, mapped).target_only == ()


def test_a_declared_name_that_never_occurs_is_no_mismatch():
    target = class_label_domain(["neg", "pos", "other"], [0, 1])
    assert match_labels(domain(["neg", "pos"]), target).target_only == ()
    assert target.with_labels(["pos", "neg"]).label_names == ("pos", "neg")


def test_with_labels_refuses_to_drop_a_label():
    with pytest.raises(DataError, match="not among a, b: c"):
        domain(["a", "c"]).with_labels(["a", "b"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (domain(["same", "same"]), 'labelled "same": a classifier needs at least two'),
        (domain([None, None]), "no labelled training rows"),
        (tagged(["O", "O"]), "no entity"),
    ],
)
def test_a_source_that_teaches_nothing_is_refused(source, message):
    with pytest.raises(DataError, match=message):
        check_source(source)


def test_target_only_types_are_compared_and_refused_with_a_proposal():
    source = tagged(["B-PER", "B-LOC", "O"], "news")
    target = tagged(["B-person", "B-LOC", "B-movie"], "tweets")
    space = compare_labels(source, target)
    assert space.shared == ("LOC",)
    assert space.source_only == ("PER",)
    assert space.target_only == ("movie", "person")
    with pytest.raises(DataError, match=r"\{movie: ignore, person: PER\}"):
        match_labels(source, target)


def test_entities_are_counted_by_entity():
    data = [{"tokens": ["a", "b", "c"], "tags": ["B-PER", "I-PER", "B-LOC"]}]
    found = load_domain(data, task="token-classification", test_fraction=0)
    assert label_counts(found) == {"LOC": 1, "PER": 1}
    assert label_counts(domain(["a", "b", "a"])) == {"a": 2, "b": 1}


def test_domains_of_different_tasks_do_not_meet():
    with pytest.raises(DataError, match="same task"):
        match_labels(tagged(["B-PER"]), domain(["a", "b"]))
