"""Labelled target rows: drawn, refused, kept out of the test rows, and worth having."""

import random
from dataclasses import replace

import pytest

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.doctor import SERIOUS, WARNING, examine
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.errors import ConfigError, DataError
from nlp_adapt.training.inputs.few_shot import draw, few_shot_domains, without_rows_of
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.several_domains import TAGS, several_trainer, tag_domain
from tests.helpers.tiny_encoders import WORDS, tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain

TEXTS = "sequence-classification"
NAMES = ("negative", "positive")


def rows_of(domain):
    return list(domain.train["row"])


def domain_of(name, rows, test=(), unlabelled=(), names=NAMES):
    """Labelled rows as (text, class), with places name:number."""

    def split(pairs, part):
        if not pairs:
            return None
        texts, labels = zip(*pairs, strict=True)
        places = [f"{name}{part}:{i}" for i in range(len(pairs))]
        return make_dataset(TEXTS, texts, places, labels, names)

    places = [f"{name}:{i + 100}" for i in range(len(unlabelled))]
    raw = make_dataset(TEXTS, unlabelled, places) if unlabelled else None
    return Domain(name, TEXTS, split(rows, ""), None, split(test, "-test"), raw, reference=name)


def given(what, *targets, load=lambda reference: reference):
    return few_shot_domains(what, targets, NAMES, seed=1, load=load)


def test_as_many_rows_of_each_class_are_drawn_and_the_same_for_the_same_seed():
    target = toy_domain("tweets", 50)
    drawn = draw(target, 4, seed=1)
    assert sorted(drawn.train["label"]) == [0] * 4 + [1] * 4
    assert set(rows_of(drawn)) <= set(rows_of(target))
    assert rows_of(drawn) == rows_of(draw(target, 4, seed=1))
    assert rows_of(drawn) != rows_of(draw(target, 4, seed=2))
    assert (drawn.test, drawn.unlabelled) == (None, None)


def test_sentences_are_drawn_whatever_their_tags():
    drawn = draw(tag_domain("posts", 30), 5, seed=1)
    assert len(drawn.train) == 5
    assert drawn.train.features["labels"].feature.names[0] == "O"


def test_more_than_there_are_is_refused():
    target = domain_of("tweets", [(f"text {i}", 0) for i in range(9)] + [("other", 1)])
    with pytest.raises(DataError, match="is 2, but tweets has 1 training row labelled positive"):
        draw(target, 2, seed=1)
    with pytest.raises(DataError, match="is 25, but posts has 24 training rows:"):
        draw(tag_domain("posts", 30), 25, seed=1)
    with pytest.raises(ConfigError, match="must be at least 1"):
        draw(target, 0, seed=1)
    with pytest.raises(DataError, match="no labelled training rows to draw 3 from"):
        draw(toy_domain("tweets", 50, labelled=False), 3, seed=1)


def test_a_class_that_the_target_lacks_is_left_out():
    target = domain_of("tweets", [(f"text {i}", i % 2) for i in range(8)], names=(*NAMES, "mixed"))
    assert sorted(draw(target, 2, seed=1).train["label"]) == [0, 0, 1, 1]


def test_rows_without_a_label_are_refused_by_place():
    target = toy_domain("tweets", 50)
    with pytest.raises(DataError, match=r"few: has no labels to learn from"):
        given(domain_of("few", [], unlabelled=["a text"]), target)
    with pytest.raises(DataError, match=r"few: 2 rows without a label \(few:100, few:101\)"):
        given(domain_of("few", [("a", 0)], unlabelled=["b", "c"]), target)


def test_rows_with_other_labels_are_refused():
    with pytest.raises(DataError, match="few has labels that are not among"):
        given(domain_of("few", [("a", 0), ("b", 1)], names=("negative", "angry")),
              toy_domain("tweets", 50))  # fmt: skip


def test_which_target_rows_are_from_must_be_said():
    tweets, posts = toy_domain("tweets", 50), toy_domain("posts", 60)
    few = domain_of("few", [("a", 0), ("b", 1)])
    with pytest.raises(ConfigError, match="write which"):
        given(few, tweets, posts)
    with pytest.raises(ConfigError, match=r"target_few_shot.tweet: there is no such target"):
        given({"tweet": few}, tweets, posts)
    with pytest.raises(ConfigError, match="needs a target"):
        given(3)
    found = given({"posts": few}, tweets, posts)
    assert list(found) == ["posts"]
    assert {name: len(rows.train) for name, rows in given(2, tweets, posts).items()} == {
        "tweets": 4, "posts": 4,
    }  # fmt: skip


def test_released_rows_are_never_test_rows():
    target = domain_of("tweets", [("x", 0)], test=[("One  text", 0), ("two", 1), ("three", 1)])
    few = domain_of("few", [("one text", 0), ("other", 1)])
    kept = without_rows_of(target, few)
    assert list(kept.test["text"]) == ["two", "three"]
    assert without_rows_of(target, domain_of("few", [("other", 1)])) is target
    everything = domain_of("few", [("one text", 0), ("two", 1), ("three", 1)])
    assert without_rows_of(target, everything).test is None


def test_a_run_scores_on_no_released_row(tmp_path):
    """The toy's test rows are rows of its training split, so that drawn ones are among them."""
    trainer = several_trainer(tmp_path, few_shot=6)
    results = trainer.train()
    for target in trainer.inputs.targets:
        released = set(trainer.inputs.few_shot[target.name].train["text"])
        tested = trainer.data.evaluation["target_test"][target.name].dataset
        assert not released & set(tested["text"])
        assert len(tested) < len(target.test)
    assert results["target"]["rows"]["test"] < 18


def test_nor_on_one_that_another_target_tests(tmp_path):
    released = domain_of("few", [("word1 word2", 0), ("word3 word4", 1)])
    source = domain_of("source", [(f"word{i} word{i + 1}", i % 2) for i in range(12)])
    tweets = domain_of("tweets", [("word5", 0), ("word6", 1)])
    posts = domain_of("posts", [("word7", 0)], test=[("word1 word2", 0), ("word9", 1)])
    config = AdaptationConfig(output_dir=str(tmp_path), data_doctor="off")
    trainer = AdaptationTrainer(
        tiny_model(), config, source, [tweets, posts], target_few_shot={"tweets": released},
        processing_class=tiny_tokenizer(),
    )  # fmt: skip
    assert trainer.data.evaluation["target_test"]["posts"].dataset["text"][:] == ["word9"]
    (found,) = [
        one
        for one in examine(source, [tweets, posts], few_shot={"tweets": released})
        if one.code == "leakage" and "target_few_shot" in one.message
    ]
    assert found.rows == ("posts-test:0 = few:0",)


def test_the_doctor_says_which_released_rows_were_test_rows():
    source = domain_of("reviews", [(f"film {i}", i % 2) for i in range(40)])
    target = domain_of("tweets", [("x", 0)], test=[("one", 0), ("two", 1)])
    few = domain_of("few", [("one", 0), ("other", 1)])
    (found,) = [f for f in examine(source, target, few_shot={"tweets": few}) if f.code == "leakage"]
    assert (found.severity, found.count, found.rows) == (WARNING, 1, ("tweets-test:0 = few:0",))
    assert "left out of the test rows" in found.advice
    every = domain_of("few", [("one", 0), ("two", 1)])
    (found,) = [
        f for f in examine(source, target, few_shot={"tweets": every}) if f.code == "leakage"
    ]
    assert found.severity == SERIOUS
    alone = domain_of("few", [("another", 0)])
    codes = [f.code for f in examine(source, target, few_shot={"tweets": alone})]
    assert "few-shot-labels" in codes
    assert "leakage" not in codes


# In the target the words that tell the source's labels mean the opposite, and others tell them.
def shifted_domain(name, first, flipped, rows=60):
    rng = random.Random(name)
    pairs = []
    for _ in range(rows):
        label = rng.randrange(2)
        words = [WORDS[2 * rng.randrange(2) + (label != flipped)], *rng.sample(WORDS[first:], 2)]
        if flipped:
            words.append(WORDS[10 + label])
        rng.shuffle(words)
        pairs.append((" ".join(words), label))
    return domain_of(name, pairs[: rows // 2], test=pairs[rows // 2 :])


def accuracy(folder, few_shot, **options):
    config = AdaptationConfig(
        output_dir=str(folder), method="source_only", max_steps=60, precision="fp32",
        per_device_train_batch_size=8, learning_rate=5e-3, head_learning_rate=5e-3,
        compare_source_only=False, eval_strategy="no", save_strategy="no", disable_tqdm=True,
        data_doctor="off", **options,
    )  # fmt: skip
    trainer = AdaptationTrainer(
        tiny_model(), config, shifted_domain("reviews", 20, flipped=False, rows=100),
        shifted_domain("tweets", 50, flipped=True, rows=100), target_few_shot=few_shot,
        processing_class=tiny_tokenizer(),
    )  # fmt: skip
    results = trainer.train()
    return results["adapted"]["target"]["accuracy"], results["adapted"]["source"]["accuracy"]


def test_a_few_rows_mend_labels_that_mean_something_else_in_the_target(tmp_path):
    without, on_source = accuracy(tmp_path / "without", None)
    assert on_source > 0.9
    assert without < 0.3  # what is learnt from the source is wrong here
    helped, still = accuracy(tmp_path / "with", 12, few_shot_share=0.25)
    assert helped > without + 0.5
    assert still > 0.6


def test_tags_of_released_sentences_are_learnt_from(tmp_path):
    trainer = several_trainer(tmp_path, TAGS, few_shot={"posts": 3})
    results = trainer.train()
    assert results["target_labels"]["domains"] == {"posts": {"reference": "3", "rows": 3}}
    rows = trainer.data.train["few_shot"]
    assert (rows.labels >= 0).all()
    assert set(rows.domains.tolist()) == {3}
    assert "task/few_shot_accuracy" in (tmp_path / "run" / "log.jsonl").read_text()


def test_source_only_with_released_rows_is_no_plain_source_only(tmp_path):
    from nlp_adapt.reporting.comparison import conclusions
    from nlp_adapt.reporting.results import is_source_only

    results = several_trainer(tmp_path, method="source_only", compare_source_only=True).train()
    assert not is_source_only(results)
    assert results["adapted"]["target"] != {} != results["source_only"]["target"]
    assert "better" in " ".join(conclusions(results)) or "score" in " ".join(conclusions(results))


def test_a_reference_may_be_given_for_a_domain(tmp_path):
    file = tmp_path / "few.csv"
    file.write_text("text,label\nword50 word1,positive\nword51 word0,negative\n")
    trainer = several_trainer(tmp_path, few_shot={"tweets": str(file)})
    few = trainer.inputs.few_shot["tweets"]
    assert len(few.train) == 2  # none of it is set aside as test rows
    assert replace(few, train=None).splits == {}
