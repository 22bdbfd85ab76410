"""One length of rows, the run's, wherever its model is read."""

import numpy as np
import pytest
from transformers import BertConfig, BertForSequenceClassification, pipeline

from nlp_adapt.cli import main
from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.tokenizers import save_tokenizer
from nlp_adapt.prediction.evaluation import evaluate
from nlp_adapt.prediction.joining import join
from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.tiny_encoders import VOCAB, WORDS, tiny_model, tiny_tokenizer
from tests.helpers.tiny_taggers import tagger

NAMES = ("negative", "positive")
QUICK = {"max_steps": 1, "per_device_train_batch_size": 4, "disable_tqdm": True, "precision": "fp32",
         "compare_source_only": False, "data_doctor": "off"}  # fmt: skip


def long_domain(name, first, rows=24, words=40):
    texts = [" ".join(WORDS[(first + i * 7 + j * (1 + i % 3)) % 90] for j in range(words))
             for i in range(rows)]  # fmt: skip
    places = [f"{name}:{i}" for i in range(rows)]
    data = make_dataset(
        "sequence-classification", texts, places, [i % 2 for i in range(rows)], NAMES
    )
    return Domain(name, "sequence-classification", train=data, test=data)


def trained(folder, model=None, source=None, **options):
    config = AdaptationConfig(output_dir=str(folder), **{**QUICK, **options})
    trainer = AdaptationTrainer(
        model or tiny_model(),
        config,
        source or long_domain("a", 3),
        long_domain("b", 50),
        processing_class=None if isinstance(model, str) else tiny_tokenizer(),
    )
    trainer.train()
    return trainer


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    folder = tmp_path_factory.mktemp("short") / "run"
    return folder, trained(folder, max_length=8, learning_rate=1e-2)


def test_a_saved_run_is_read_at_its_own_length(short, tmp_path):
    folder, trainer = short
    assert trainer.results["max_length"] == 8
    target = long_domain("b", 50)
    table = trainer.results["adapted"]["target"]
    predictor = load_predictor(folder)
    scores = evaluate(predictor, target)["metrics"]
    assert scores == {key: table[key] for key in scores}
    text = target.test["text"][0]
    kept = " ".join(text.split()[:6])
    (whole, cut) = predictor.predict([text, kept])
    assert whole["scores"] == pytest.approx(cut["scores"], abs=1e-6)
    assert trainer.predict([text])[0]["scores"] == pytest.approx(cut["scores"], abs=1e-6)
    trained(tmp_path / "longer", max_length=20)
    join([folder, tmp_path / "longer"], tmp_path / "both")
    join([folder, tmp_path / "longer"], tmp_path / "soup", "soup")
    assert load_predictor(tmp_path / "longer").max_length == 20
    assert load_predictor(tmp_path / "both").max_length == 8
    assert load_predictor(tmp_path / "soup").max_length == 8


def test_another_length_may_be_asked_for(short, tmp_path, capsys):
    folder, _ = short
    text = long_domain("b", 50).test["text"][0]
    longer = load_predictor(folder, max_length=30)
    own = load_predictor(folder)
    assert longer.predict([text])[0]["score"] != own.predict([text])[0]["score"]
    said = "max_length is 67, but this model reads 66 tokens at most"
    with pytest.raises(ConfigError, match=said):
        load_predictor(folder, max_length=67)
    (tmp_path / "in.txt").write_text(f"{text}\n")
    command = ["predict", str(folder), str(tmp_path / "in.txt"), "--out", str(tmp_path / "o.jsonl")]
    assert main([*command, "--max_length", "67"]) != 0
    assert said in capsys.readouterr().err
    assert main([*command, "--max_length", "30"]) == 0


def test_a_run_that_continues_may_read_more(short, tmp_path):
    folder, _ = short
    trainer = trained(tmp_path / "next", str(folder / "model"), max_length=20)
    assert trainer.context.max_length == 20
    assert load_predictor(tmp_path / "next").max_length == 20


def test_rows_beyond_the_usual_length_are_read_whole(tmp_path):
    config = BertConfig(vocab_size=len(VOCAB), hidden_size=16, num_hidden_layers=1,
                        num_attention_heads=2, intermediate_size=16, pad_token_id=0,
                        max_position_embeddings=800, id2label=dict(enumerate(NAMES)))  # fmt: skip
    source = long_domain("a", 3, rows=8, words=700)
    trained(tmp_path / "run", BertForSequenceClassification(config), source, max_length=750)
    predictor = load_predictor(tmp_path / "run")
    encoded = predictor.task.encode(source.test, predictor.tokenizer, predictor.max_length)
    assert encoded.lengths.tolist() == [702] * 8


def test_a_tagger_in_a_pipeline_reads_windows_of_the_length(tmp_path):
    """With the stride that the card names, no word of a long text is left out."""
    model, tokenizer = tagger("bert")
    model.save_pretrained(tmp_path)
    save_tokenizer(tokenizer, tmp_path, 16)
    assert load_predictor(tmp_path).max_length == 16
    read = pipeline(
        "token-classification", str(tmp_path), aggregation_strategy="first", stride=4,
        ignore_labels=[],
    )  # fmt: skip
    text = "abc def ghi jkl mno pqr stu vwx yza bcd efg hij"
    seen = np.zeros(len(text), bool)
    for found in read(text):
        seen[found["start"] : found["end"]] = True
    assert all(seen[i] for i, letter in enumerate(text) if letter != " ")


def test_the_card_reads_as_the_run_does(short):
    folder, _ = short
    card = (folder / "model" / "README.md").read_text(encoding="utf-8")
    code = card.split("```python\n")[1].split("```")[0].replace("path/or/hub-id", f"{folder}/model")
    found = {}
    text = long_domain("b", 50).test["text"][0]
    exec(code.replace("A sentence of the target domain.", text), found)
    (answer,) = found["model"](text)
    assert answer["score"] == pytest.approx(load_predictor(folder).predict([text])[0]["score"])


@pytest.mark.parametrize("length", [0, -1])
def test_a_row_has_a_token_at_least(tmp_path, length):
    tiny_model("bert", labels=["no", "yes"]).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="at least 1"):
        load_predictor(tmp_path, max_length=length)
