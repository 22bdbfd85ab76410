import subprocess
import sys

import evaluate
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

import nlp_adapt.metrics
from nlp_adapt.errors import AdaptationError, ConfigError
from nlp_adapt.metrics import (
    F1,
    Accuracy,
    ClassF1,
    ClassificationReport,
    Matthews,
    SpanF1,
    classification_metrics,
    span_metrics,
)

TRUTH, GUESSES = [0, 1, 2, 1, 0], [0, 2, 2, 1, 1]
NAMES = ["neg", "neutral", "pos"]


def test_metrics_agree_with_the_plain_function():
    expected = classification_metrics(TRUTH, GUESSES, NAMES)
    rows = {"references": TRUTH, "predictions": GUESSES}
    assert Accuracy().compute(**rows) == {"accuracy": expected["accuracy"]}
    assert Matthews().compute(**rows) == {"matthews": expected["matthews"]}
    assert F1().compute(**rows) == {"f1": expected["macro_f1"]}
    assert F1(average="weighted").compute(**rows) == {"f1": expected["weighted_f1"]}
    assert F1().compute(average="micro", **rows) == {"f1": pytest.approx(expected["accuracy"])}
    per_class = {name: scores["f1"] for name, scores in expected["per_class"].items()}
    assert F1(average=None).compute(**rows) == {"f1": list(per_class.values())}
    assert ClassF1(NAMES).compute(**rows) == {"class_f1": per_class}
    assert list(ClassF1().compute(**rows)["class_f1"]) == ["0", "1", "2"]
    assert ClassificationReport(NAMES).compute(**rows) == expected
    with pytest.raises(AdaptationError, match="no average 'binary'"):
        F1(average="binary").compute(**rows)


def test_span_metric_agrees_with_the_plain_function():
    truth = [["B-PER", "I-PER", "O"], [], ["B-LOC"]]
    guesses = [["B-PER", "O", "O"], [], ["I-LOC"]]
    metric = SpanF1(model_types=["PER", "LOC", "ORG"])
    for one, other in zip(truth, guesses, strict=True):
        metric.add(reference=one, prediction=other)
    expected = span_metrics(truth, guesses, model_types=["PER", "LOC", "ORG"])
    assert metric.compute() == expected
    # A metric is empty again after compute.
    assert metric.compute(references=truth[:1], predictions=truth[:1])["f1"] == 1.0


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1), st.integers(1, 7))
def test_batches_add_up(rows, size):
    metric = ClassificationReport(NAMES)
    for start in range(0, len(rows), size):
        truth, guesses = np.array(rows[start : start + size]).T
        metric.add_batch(references=truth, predictions=guesses)
    truth, guesses = np.array(rows).T
    assert metric.compute() == classification_metrics(truth, guesses, NAMES)


def test_combine():
    combined = evaluate.combine([Accuracy(), F1()])
    combined.add_batch(predictions=GUESSES[:3], references=TRUTH[:3])
    for truth, guess in zip(TRUTH[3:], GUESSES[3:], strict=True):
        combined.add(prediction=guess, reference=truth)
    expected = classification_metrics(TRUTH, GUESSES, NAMES)
    assert combined.compute() == {"accuracy": expected["accuracy"], "f1": expected["macro_f1"]}
    averages = evaluate.combine({"macro": F1(), "weighted": F1(average="weighted")})
    assert averages.compute(predictions=GUESSES, references=TRUTH) == {
        "macro_f1": expected["macro_f1"],
        "weighted_f1": expected["weighted_f1"],
    }


@pytest.mark.parametrize(
    ("metric", "references", "predictions", "message"),
    [
        (Accuracy, [], [], "no rows to score"),
        (Accuracy, None, None, "no rows to score"),
        (Accuracy, [0, 1], [0.7, 1], "Row 0 of the predictions is 0.7"),
        (Accuracy, [0, -100], [0, 1], "Row 1 of the references is unlabelled"),
        (F1, [0, 1], [0], "Row 1 of the references has no partner"),
        (F1, [0, 1], None, "The predictions are None"),
        (SpanF1, [["O", 3]], [["O", "O"]], "has 3 at position 1"),
        (SpanF1, [["O", "O"]], [["O"]], "Row 0 has 2 items"),
        (SpanF1, [], [], "no rows to score"),
    ],
)
def test_bad_rows_are_named_and_leave_the_metric_usable(metric, references, predictions, message):
    instance = metric()
    with pytest.raises(AdaptationError, match=message):
        instance.compute(references=references, predictions=predictions)
    good = [["B-PER"]] if metric is SpanF1 else [1]
    result = instance.compute(references=good, predictions=good)
    assert result["accuracy" if metric is Accuracy else "f1"] == 1.0


@pytest.fixture
def tiny_model():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "dull"]
    tokenizer = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=16,
        num_labels=2,
        id2label={0: "neg", 1: "pos"},
        label2id={"neg": 0, "pos": 1},
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=16
    )
    return BertForSequenceClassification(config).eval(), wrapped


def test_evaluator(tiny_model):
    model, tokenizer = tiny_model
    texts = ["good film", "bad film", "dull", "good", "film film dull", "bad"]
    labels = [1, 0, 0, 1, 0, 0]
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    data = Dataset.from_dict({"text": texts, "label": labels}, features=features)
    options = {"model_or_pipeline": model, "tokenizer": tokenizer, "data": data}
    task = evaluate.evaluator("text-classification")

    expected = []
    for text in texts:
        logits = model(**tokenizer(text, return_tensors="pt")).logits
        expected.append(int(logits.argmax()))
    expected = classification_metrics(labels, expected, ["neg", "pos"])

    mapping = model.config.label2id
    metric = evaluate.combine([Accuracy(), F1()])
    result = task.compute(metric=metric, label_mapping=mapping, **options)
    assert (result["accuracy"], result["f1"]) == (expected["accuracy"], expected["macro_f1"])
    report = ClassificationReport(["neg", "pos"])
    result = task.compute(metric=report, label_mapping=mapping, **options)
    assert {key: result[key] for key in expected} == expected
    with pytest.raises(AdaptationError, match="label_mapping"):
        task.compute(metric=Accuracy(), **options)
    resampled = task.compute(
        metric=Accuracy(), label_mapping=mapping, strategy="bootstrap", n_resamples=5, **options
    )
    assert resampled["accuracy"]["score"] == expected["accuracy"]


def test_metrics_need_no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a metric opened a socket")

    monkeypatch.setattr("socket.socket", refuse)
    assert evaluate.combine([Accuracy(), F1()]).compute(predictions=[1], references=[1]) == {
        "accuracy": 1.0,
        "f1": 1.0,
    }
    assert SpanF1().compute(predictions=[["B-PER"]], references=[["B-PER"]])["f1"] == 1.0


def test_span_metric_reads_a_dataset_column():
    rows = [["B-PER", "O"], ["O"]]
    data = Dataset.from_dict({"tags": rows}, features=Features({"tags": List(Value("string"))}))
    assert SpanF1().compute(references=data["tags"], predictions=rows)["f1"] == 1.0


def test_plain_functions_do_not_import_evaluate():
    code = (
        "import sys; from nlp_adapt.metrics import classification_metrics, span_metrics;"
        "print([m for m in ('evaluate', 'torch', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_evaluate_its_metrics_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "evaluate", None)
    monkeypatch.delitem(sys.modules, "nlp_adapt.metrics.modules")
    monkeypatch.delattr(nlp_adapt.metrics, "modules")
    with pytest.raises(ConfigError, match=r'pip install "nlp-adapt\[evaluate\]"'):
        _ = nlp_adapt.metrics.F1
