"""Auxiliary tasks in runs: what they are worth, where they stop, and what is refused."""

import json
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.data.loading import classes_by_row, load_domain
from nlp_adapt.errors import ConfigError, DataError, RunError
from nlp_adapt.reporting.comparison import conclusions
from nlp_adapt.reporting.results import is_source_only, method_title
from nlp_adapt.training.log import _short
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.interruptions import InterruptedRunError, crash_after, weights
from tests.helpers.several_domains import BRIEF, TAG_NAMES, TAGS, tag_domain
from tests.helpers.tiny_encoders import WORDS, tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain

TEXTS = "sequence-classification"
BINARY = ("negative", "positive")


def domain_of(name, rows, names=BINARY, test=()):
    """Texts with classes by index."""

    def split(pairs, part):
        texts, labels = zip(*pairs, strict=True)
        places = [f"{name}{part}:{number}" for number in range(len(pairs))]
        return make_dataset(TEXTS, texts, places, labels, names)

    return Domain(
        name, TEXTS, train=split(rows, ""), test=split(test, "-test") if test else None,
        reference=name,
    )  # fmt: skip


def topics(rows=30, names=("sport", "trade", "arts"), first=60):
    return domain_of(
        "topics",
        [(f"{WORDS[first + i % 3]} {WORDS[70 + i % 5]}", i % 3) for i in range(rows)],
        names,
    )


def starred(folder, task=TEXTS, classes=3):
    """A source of 40 rows from a file, whose column `stars` has nothing to do with its labels."""
    rows = tag_domain("news", 30, rows=40) if task == TAGS else toy_domain("reviews", 30, rows=40)
    names = np.array(rows.label_names)
    records = [
        {
            rows.text_column: row[rows.text_column],
            "label": names[row[rows.label_column]].tolist(),
            "stars": 1 + number // 2 % classes,
        }
        for number, row in enumerate(rows.train)
    ]
    path = folder / "source.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return load_domain(path, task=task, label_column="label", test_fraction=0.1)


def trainer_with(folder, auxiliary, given=None, task=TEXTS, source=None, target=None, **options):
    defaults = {**BRIEF, "output_dir": str(folder / "run"), "task": task, "max_steps": 4}
    if task == TAGS:
        model = tiny_model("bert", "TokenClassification", TAG_NAMES, dropout=0.1)
        source = source or tag_domain("news", 30, rows=40)
        target = target or tag_domain("posts", 50)
    else:
        model = tiny_model("bert", dropout=0.1)
        source = source or toy_domain("reviews", 30, rows=40)
        target = target or toy_domain("tweets", 50)
    return AdaptationTrainer(
        model,
        AdaptationConfig(**{**defaults, "auxiliary": auxiliary, **options}),
        source,
        target,
        auxiliary=given,
        processing_class=tiny_tokenizer(),
    )


BOTH = {"stars": {"label_column": "stars", "weight": 0.5}, "topic": {"share": 0.6}}


def with_both(folder, task=TEXTS, **options):
    folder.mkdir(exist_ok=True)
    source = starred(folder, task)
    return trainer_with(folder, BOTH, {"topic": topics()}, task, source=source, **options)


# What it is worth


def shifted(name, words, rows):
    """Texts in which one of two words tells the label."""
    generator = random.Random(name)
    pairs = []
    for number in range(rows):
        label = number % 2
        text = [WORDS[words[label]], *generator.sample(WORDS[20:60], 2)]
        generator.shuffle(text)
        pairs.append((" ".join(text), label))
    return pairs


def accuracy(folder, weight):
    """On a target whose telling words the source never holds, but an auxiliary corpus does.

    It says, in labels of its own, that these words go with the source's.
    """
    both = [*shifted("one", (0, 1), 60), *shifted("two", (2, 3), 60)]
    ratings = domain_of("ratings", both, names=("1", "5"))
    trainer = trainer_with(
        folder,
        {"stars": {"share": 1.0, "weight": weight}} if weight else {},
        {"stars": ratings} if weight else None,
        source=domain_of("reviews", shifted("source", (0, 1), 60)),
        target=domain_of(
            "tweets", shifted("target", (2, 3), 20), test=shifted("test", (2, 3), 60)
        ),
        method="source_only", max_steps=80, per_device_train_batch_size=8, learning_rate=3e-3,
        head_learning_rate=3e-3,
    )  # fmt: skip
    return trainer.train()["adapted"]


def test_labels_of_another_kind_teach_what_the_source_cannot(tmp_path):
    without = accuracy(tmp_path / "without", 0)
    beside = accuracy(tmp_path / "with", 1.0)
    assert without["target"]["accuracy"] < 0.75
    assert beside["target"]["accuracy"] > without["target"]["accuracy"] + 0.2
    assert beside["auxiliary"]["stars"]["accuracy"] > 0.9
    assert beside["auxiliary"]["stars"]["largest_class"] < 0.7


def test_a_column_of_the_source_is_learned_from_its_share_of_the_batches(tmp_path):
    """Which of two words a text holds, beside two others that tell its label."""
    texts = [(f"{text} {WORDS[10 + i // 2 % 2]}", label)
             for i, (text, label) in enumerate(shifted("source", (0, 1), 120))]  # fmt: skip
    lines = [f"{text},{BINARY[label]},{'word10' in text}\n" for text, label in texts]
    path = tmp_path / "reviews.csv"
    path.write_text("".join(["text,label,tenth\n", *lines]))
    results = trainer_with(
        tmp_path, {"tenth": {"label_column": "tenth"}},
        source=load_domain(path, label_column="label"), method="source_only", max_steps=80,
        per_device_train_batch_size=8, learning_rate=3e-3, head_learning_rate=3e-3,
    ).train()  # fmt: skip
    assert results["adapted"]["auxiliary"]["tenth"]["accuracy"] > 0.9
    assert results["auxiliary"]["tenth"]["labels"] == ["False", "True"]


# Runs of both tasks


@pytest.mark.parametrize("task", [TEXTS, TAGS])
def test_a_run_reports_and_saves_its_heads_and_exports_a_plain_model(tmp_path, task):
    results = with_both(tmp_path, task, compare_source_only=True, method="cdan").train()
    described = results["auxiliary"]
    assert described["topic"]["labels"] == ["sport", "trade", "arts"]
    assert described["stars"] == {
        "reference": None, "label_column": "stars", "labels": ["1", "2", "3"], "weight": 0.5,
        "rows": described["stars"]["rows"],
    }  # fmt: skip
    assert 28 < described["stars"]["rows"] < 36  # some of the source's rows are held out
    scores = results["adapted"]["auxiliary"]
    for name in ("stars", "topic"):
        assert 0 <= scores[name]["accuracy"] <= 1
        assert 0 < scores[name]["count"] < 10
    assert results["source_only"]["auxiliary"] == {}
    run = tmp_path / "run"
    heads = load_file(run / "adaptation" / "objectives.safetensors")
    assert heads["auxiliary.heads.stars_head.weight"].shape == (3, 32)
    assert not [name for name in load_file(run / "model" / "model.safetensors") if "stars" in name]
    lines = [json.loads(line) for line in (run / "log.jsonl").open()]
    adapted = [line for line in lines if "auxiliary" in line]
    assert len(adapted) == 4
    assert all(np.isfinite(line["auxiliary/topic/loss"]) for line in adapted)
    said = " ".join(conclusions(results))
    assert "was also trained on stars (3 classes" in said
    assert method_title(results) == "cdan + stars + topic"
    assert "topic" in (run / "model" / "README.md").read_text()


def test_tags_beside_sentences(tmp_path):
    entries = {"entities": {"task": TAGS, "weight": 0.5}}
    tags = tag_domain("news", 30, rows=40)
    results = trainer_with(tmp_path, entries, {"entities": tags}).train()
    assert results["auxiliary"]["entities"]["labels"] == list(TAG_NAMES)
    scores = results["adapted"]["auxiliary"]["entities"]
    assert scores["count"] > 4 * 7  # words, not sentences


def test_twin_and_plain_run_agree_and_the_auxiliary_run_is_no_source_only(tmp_path):
    results = with_both(tmp_path, method="source_only", compare_source_only=True).train()
    assert not is_source_only(results)
    alone = trainer_with(tmp_path / "alone", {}, source=starred(tmp_path),
                         method="source_only").train()  # fmt: skip
    assert results["source_only"]["target"] == alone["adapted"]["target"]


@pytest.mark.parametrize("task", [TEXTS, TAGS])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, monkeypatch, task):
    options = {"save_strategy": "steps", "save_steps": 1, "gradient_accumulation_steps": 2,
               "per_device_train_batch_size": 3}  # fmt: skip
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected = with_both(whole, task, **options).train()
    with monkeypatch.context() as patch:
        crash_after(patch, 2)
        with pytest.raises(InterruptedRunError):
            with_both(broken, task, **options).train()
    results = with_both(broken, task, **options, resume=True).train()
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(broken)[name]), name
    for key in ("auxiliary", "ledger", "target"):
        assert results["adapted"][key] == expected["adapted"][key]


def test_a_run_is_not_resumed_with_other_auxiliary_labels(tmp_path, monkeypatch):
    options = {"save_strategy": "steps", "save_steps": 1}
    with monkeypatch.context() as patch:
        crash_after(patch, 2)
        with pytest.raises(InterruptedRunError):
            with_both(tmp_path, **options).train()
    given = {"topic": topics()}
    source = starred(tmp_path, classes=2)
    trainer = trainer_with(tmp_path, BOTH, given, source=source, resume=True, **options)
    with pytest.raises(RunError, match="auxiliary task stars"):
        trainer.train()
    source = starred(tmp_path)
    entries = {**BOTH, "stars": {"label_column": "stars", "weight": 0.6}}
    trainer = trainer_with(tmp_path, entries, given, source=source, resume=True, **options)
    with pytest.raises(RunError, match="option auxiliary"):
        trainer.train()


def test_a_stage_of_its_own_comes_first_and_the_heads_go_on(tmp_path):
    stages = [
        {"objectives": {"auxiliary": {}}, "steps": 2},
        {"objectives": ["task", "auxiliary", "dann"], "steps": 2},
    ]
    trainer = with_both(tmp_path, stages=stages, max_steps=-1)
    assert [list(stage.objectives) for stage in trainer.context.stages] == [
        ["auxiliary"], ["task", "auxiliary", "dann"],
    ]  # fmt: skip
    trainer.train()
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").open()]
    losses = [line for line in lines if "auxiliary" in line]
    assert ["task" in line for line in losses] == [False, False, True, True]


def test_labels_of_windows_and_held_out_rows_follow_their_text(tmp_path):
    source = starred(tmp_path, TAGS)
    stars = {"stars": {"label_column": "stars"}}
    data = trainer_with(tmp_path, stars, task=TAGS, source=source, max_length=6).data
    rows = data.train["auxiliary/stars"]
    assert len(rows) > 40  # sentences of up to 8 words in windows of 4
    by_words = {}
    for number, line in enumerate((tmp_path / "source.jsonl").open()):
        words = json.loads(line)["tokens"]
        key = tuple(tiny_tokenizer()(words, is_split_into_words=True)["input_ids"][1:-1])
        by_words.setdefault(key, set()).add(number // 2 % 3)
    for part in (rows, data.auxiliary_validation["stars"]):
        assert (part.labels >= 0).sum() == len(part)
        for number in range(len(part)):
            inner = part.ids[part.offsets[number] + 1 : part.offsets[number + 1] - 1].tolist()
            texts = [stars for key, stars in by_words.items() if _holds(key, inner)]
            label = part.labels[part.unit_offsets[number]]
            assert any(label in stars for stars in texts)


def test_a_column_is_learned_from_the_rows_that_the_source_trains_on(tmp_path):
    """Texts that are held out for the main task stay so for the other."""

    def texts(rows):
        return {tuple(rows.ids[a:b]) for a, b in pairwise(rows.offsets)}

    for limit in (None, 12):
        trainer = trainer_with(
            tmp_path, {"stars": {"label_column": "stars"}}, source=starred(tmp_path),
            max_source_rows=limit,
        )  # fmt: skip
        data = trainer.data
        assert texts(data.train["auxiliary/stars"]) == texts(data.train["source"])
        held_out = data.evaluation["source_validation"]["source"].encoded
        assert texts(data.auxiliary_validation["stars"]) == texts(held_out)


def _holds(key, inner):
    return any(list(key[i : i + len(inner)]) == inner for i in range(len(key)))


def test_the_progress_bar_takes_no_auxiliary_head_for_a_discriminator():
    means = {"loss": 1.0, "auxiliary/stars/accuracy": 0.2, "dann/accuracy": 0.6, "dann/lambda": 0.1}
    assert _short(means, 1.0)["discriminator"] == "60%"
    del means["dann/accuracy"]
    assert "discriminator" not in _short(means, 1.0)


# What is refused


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"label_colum": "stars"}, r"auxiliary.stars: unknown key 'label_colum'; did you mean"),
        ({}, r"auxiliary.stars needs label_column"),
        ({"label_column": "s", "weight": 0}, r"auxiliary.stars.weight is 0"),
        ({"label_column": "s", "weight": "much"}, r"auxiliary.stars.weight is 'much'"),
        ({"reference": "a.csv", "share": 1.5}, r"auxiliary.stars.share is 1.5"),
        ({"label_column": "s", "max_rows": 20}, r"auxiliary.stars.max_rows is about a reference"),
        ({"label_column": "s", "task": TAGS}, r"auxiliary.stars.task is about a reference"),
        ({"label_column": "s", "task": "regression"}, r"auxiliary.stars.task is 'regression'"),
        ({"reference": "a.csv", "max_rows": 3}, r"auxiliary.stars.max_rows is 3"),
    ],
)
def test_entries_that_cannot_be_used_are_refused_by_key(tmp_path, entry, message):
    with pytest.raises(ConfigError, match=message):
        trainer_with(tmp_path, {"stars": entry})


def test_names_and_methods_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="letters, digits"):
        trainer_with(tmp_path, {"my stars": {"label_column": "s"}})
    with pytest.raises(ConfigError, match="auxiliary: no stage of method 'shallow_coral'"):
        trainer_with(tmp_path, BOTH, method="shallow_coral")
    with pytest.raises(ConfigError, match="has nothing to learn: name its tasks"):
        trainer_with(tmp_path, {}, stages=[{"objectives": ["task", "auxiliary"]}])
    with pytest.raises(ConfigError, match=r"'star' is given.*did you mean 'stars'"):
        trainer_with(tmp_path, BOTH, {"star": topics()})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({0: "1", 1: "2"}, "has 2 labelled training rows, but needs"),
        (dict.fromkeys(range(120), "5"), 'every training row is labelled "5"'),
        ({i: "ab"[i % 2] for i in range(120)}, "says the same of every source row"),
        ({}, "has 0 labelled training rows"),
        ({i: f"remark {i}" for i in range(120)}, "120 different values in 120 rows do not look"),
    ],
)
def test_labels_that_teach_nothing_are_refused(tmp_path, labels, message):
    lines = [
        f"{WORDS[i % 9]} {WORDS[i % 80]},{BINARY[i % 2]},{labels.get(i, '')}\n" for i in range(120)
    ]
    path = tmp_path / "reviews.csv"
    path.write_text("".join(["text,label,stars\n", *lines]))
    source = load_domain(path, label_column="label", test_fraction=0.0)
    with pytest.raises(DataError, match=f"auxiliary.stars.*{message}"):
        trainer_with(
            tmp_path, {"stars": {"label_column": "stars"}}, source=source, validation_fraction=0.0
        )


def target_rows(rows=60):
    """A target of distinct texts."""
    return [(f"{WORDS[i]} {WORDS[i % 7]}", i % 2) for i in range(rows)]


def test_the_targets_own_labels_are_refused_by_any_name(tmp_path):
    target = domain_of("tweets", target_rows()[:30], test=target_rows()[30:])
    copied = domain_of("copy", [(text.upper(), label) for text, label in target_rows()[25:35]])
    finer = domain_of(
        "finer", [(text, label + 2 * (i % 3)) for i, (text, label) in enumerate(target_rows())],
        names=("1", "4", "2", "5", "3", "6"),
    )  # fmt: skip
    for given in (copied, finer):
        with pytest.raises(ConfigError, match=r"auxiliary.stars: its labels of tweets give away"):
            trainer_with(tmp_path, {"stars": {}}, {"stars": given}, target=target)


def test_other_labels_of_the_targets_text_are_welcome(tmp_path):
    target = domain_of("tweets", target_rows()[:30], test=target_rows()[30:])
    other = [(text, number // 2 % 3) for number, (text, _) in enumerate(target_rows())]
    topic = domain_of("topics", other, names=("a", "b", "c"))
    trainer_with(tmp_path, {"topic": {}}, {"topic": topic}, target=target)


def test_the_targets_own_tags_are_refused(tmp_path):
    target = tag_domain("posts", 50)
    with pytest.raises(ConfigError, match="give away"):
        trainer_with(tmp_path, {"other": {"task": TAGS}}, {"other": target}, TAGS, target=target)


# Files


@pytest.fixture
def files(tmp_path):
    rows = [
        (f"{WORDS[i % 9]} {WORDS[20 + i % 31]}", BINARY[i % 2], 1 + i // 2 % 3) for i in range(40)
    ]
    text = "text,label,stars\n" + "".join(f"{t},{label},{s}\n" for t, label, s in rows)
    for name in ("reviews", "tweets"):
        (tmp_path / f"{name}.csv").write_text(text.replace("word2", f"{name} word2"))
    return tmp_path


def test_a_column_is_read_beside_the_main_one(files):
    labels = classes_by_row(files / "reviews.csv", "stars", {}, TEXTS)
    assert labels["reviews.csv:2"] == "1"
    assert set(labels.values()) == {"1", "2", "3"}
    label_map = {"<2": "low", ">2": "high", "2": "ignore"}
    mapped = classes_by_row(files / "reviews.csv", "stars", label_map, TEXTS)
    assert set(mapped.values()) == {"low", "high"}
    assert len(mapped) < len(labels)
    with pytest.raises(DataError, match=r"no column 'star' \(columns: text, label, stars\)"):
        classes_by_row(files / "reviews.csv", "star", {}, TEXTS)
    (files / "more").mkdir()
    (files / "more" / "reviews.csv").write_text((files / "reviews.csv").read_text())
    both = [files / "reviews.csv", files / "more" / "reviews.csv"]
    with pytest.raises(DataError, match=r"two files of .* are called reviews.csv"):
        classes_by_row(both, "stars", {}, TEXTS)


def test_from_python_a_column_is_read_from_the_sources_own_file(files):
    source = load_domain(files / "reviews.csv", label_column="label", test_fraction=0.0)
    trainer = trainer_with(files, {"stars": {"label_column": "stars"}}, source=source)
    rows = trainer.data.train["auxiliary/stars"]
    assert len(rows) == len(trainer.data.train["source"])
    assert set(rows.labels.tolist()) == {0, 1, 2}
    with pytest.raises(DataError, match=r"auxiliary.stars: .*has no column 'points'"):
        trainer_with(files, {"stars": {"label_column": "points"}}, source=source)


def test_one_of_several_sources_may_have_the_column(files):
    plain = files / "plain.csv"
    plain.write_text((files / "reviews.csv").read_text().replace("stars", "other"))
    sources = {
        path.stem: load_domain(path, label_column="label")
        for path in (plain, files / "reviews.csv")
    }
    stars = {"stars": {"label_column": "stars"}}
    data = trainer_with(files, stars, source=sources).data
    assert len(data.train["auxiliary/stars"]) == data.train_texts["source"]["reviews"]


@pytest.fixture
def cli_options(files, tiny_model_dir):
    return [
        "train", "--model", tiny_model_dir, "--max_steps", "2", "--precision", "fp32",
        "--disable_tqdm", "--per_device_train_batch_size", "4", "--eval_strategy", "no",
        "--save_strategy", "no", "--source", files / "reviews.csv", "--target",
        files / "tweets.csv", "--output_dir", files / "run", "--data_doctor", "off",
        "--label_column", "label",
    ]  # fmt: skip


def test_the_command_line_takes_them(run_cli, files, cli_options):
    code, out, err = run_cli(
        *cli_options, "--auxiliary.stars.label_column", "stars", "--auxiliary.stars.weight", "0.3",
        "--options.auxiliary.dropout", "0.2",
    )  # fmt: skip
    assert code == 0, err
    assert "The adapted model was also trained on stars (3 classes, " in out
    assert run_cli("verify", files / "run")[0] == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--auxiliary.s.label_column", "label"],
            "auxiliary.s.label_column: 'label' says the same",
        ),
        (["--auxiliary.s.label_column", "points"], "auxiliary.s: "),
        (["--auxiliary.s.reference", "missing.csv"], "auxiliary.s: missing.csv does not exist"),
        (["--auxiliary", "stars"], "auxiliary is 'stars'"),
    ],
)
def test_the_command_line_refuses_in_one_line(run_cli, cli_options, flags, message):
    code, _, err = run_cli(*cli_options, *flags)
    assert code != 0
    assert message in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_the_command_line_refuses_a_targets_own_column(run_cli, files, cli_options):
    for column in ([], ["--auxiliary.s.label_column", "label"]):
        flags = ["--auxiliary.s.reference", files / "tweets.csv", *column]
        code, _, err = run_cli(*cli_options, *flags)
        assert code != 0
        assert "auxiliary.s" in err
    # The labels of a streamed target are not read, so that none can be compared.
    for named in (cli_options, cli_options[:-2]):
        code, _, err = run_cli(*named, "--streaming", *flags)
        assert code != 0
        assert "labels" in err
        assert "never trained on" in err
