"""What each architecture does in a run, or why it is refused; the page of architectures says the same."""

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ConfigError, DataError, ModelError
from nlp_adapt.modeling.architectures import ARCHITECTURES, longest_input
from nlp_adapt.modeling.freezing import freeze
from nlp_adapt.modeling.suitability import fit_to_tokenizer, with_padding
from nlp_adapt.modeling.units import UnitReader, unit_logits
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.architecture_walk import SENTENCES, TASKS, TEXTS, WORDWISE, WORKS, outcome
from tests.helpers.shrunken import classifiers, tiny_classifier, tiny_config
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain, trainer_for

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "architectures.md"
ENCODERS = ("albert", "bert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta",
            "xlm-roberta")  # fmt: skip
OTHERS = ("bart", "data2vec-text", "esm", "gpt2", "llama", "luke", "qwen2", "roberta-prelayernorm", "t5",
          "xlnet")  # fmt: skip
UNLIMITED = SimpleNamespace(model_max_length=None)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location(
        "architectures_page", ROOT / "scripts" / "architectures_page.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def written():
    return PAGE.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", ENCODERS)
def test_one_forward_gives_what_plain_transformers_gives(name):
    for task in TASKS:
        assert outcome(name, task, methods=()) == WORKS


@pytest.mark.parametrize("name", OTHERS)
def test_it_trains_and_plain_transformers_reads_the_same(name):
    assert outcome(name, SENTENCES, twin=False) == WORKS
    if name in classifiers(WORDWISE):
        assert outcome(name, WORDWISE, methods=()) == WORKS


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ENCODERS, *OTHERS])
def test_the_first_methods_that_people_try(name):
    assert outcome(name, SENTENCES, methods=("source_only", "dann", "mcc", "auto")) == WORKS
    if name in classifiers(WORDWISE):
        assert outcome(name, WORDWISE, methods=("source_only", "dann", "auto")) == WORKS


@pytest.mark.slow
def test_the_page_says_what_becomes_of_every_architecture(script, written):
    if f"transformers {transformers.__version__} " not in "\n".join(written):
        pytest.skip("the page was made with another version of transformers")
    found = script.page(script.walk(), transformers.__version__)
    assert found.splitlines() == written


def test_the_page_agrees_with_the_table_of_architectures(script, written):
    tried = {task: dict.fromkeys([*ENCODERS, *OTHERS], WORKS) for task in TASKS}
    for name in (*ENCODERS, *OTHERS):
        for task in TASKS:
            if name not in classifiers(task):
                del tried[task][name]
    assert not set(script.rows(tried)) - set(written)
    known = {name for task in TASKS for name in classifiers(task)}
    for name, facts in ARCHITECTURES.items():
        assert name in known
        lines = [line for line in written if line.startswith(f"- `{name}`, ")]
        assert bool(lines) is bool(facts.refused), name
        assert all(line.endswith(f": {facts.refused}") for line in lines)
    listed = {found[1] for line in written if (found := re.match(r"\| `(.+?)` \|", line))}
    newer = f"transformers {transformers.__version__} " not in "\n".join(written)
    assert newer or listed == known


@pytest.mark.parametrize(
    ("name", "values", "longest"),
    [
        ("xlnet", {}, 10**6),
        ("t5", {}, 10**6),
        ("esm", {"pad_token_id": 1}, 38),
        ("luke", {"pad_token_id": 1}, 38),
        ("roberta", {"pad_token_id": 3}, 36),
        ("roberta-prelayernorm", {"pad_token_id": None}, 38),
        ("mpt", {}, 40),
        ("gpt2", {}, 40),
    ],
)
def test_how_long_a_row_may_be(name, values, longest):
    assert longest_input(tiny_config(name, **values), UNLIMITED) == longest


def without_padding_token():
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token, tokenizer.eos_token = None, "[SEP]"
    return tokenizer


@pytest.mark.parametrize("own", [None, 7])
def test_a_decoder_and_a_tokenizer_without_padding_agree_on_the_end_token(tmp_path, own):
    model, tokenizer = tiny_classifier("gpt2"), without_padding_token()
    model.config.pad_token_id = own
    trainer = AdaptationTrainer(
        model,
        AdaptationConfig(
            output_dir=str(tmp_path), precision="fp32", max_steps=1, disable_tqdm=True,
            method="dann", compare_source_only=False,
        ),
        toy_domain("reviews", 30), toy_domain("tweets", 50), processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
    assert tokenizer.pad_token is None
    assert model.config.pad_token_id == own
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    saved = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path / "model")
    assert saved.pad_token_id == plain.config.pad_token_id == (3 if own is None else own)
    inputs = saved(TEXTS, padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        logits = plain.eval()(**inputs).logits.softmax(-1)
    scores = [[*one["scores"].values()] for one in trainer.predict(TEXTS)]
    torch.testing.assert_close(torch.tensor(scores), logits, atol=1e-5, rtol=0)


def test_a_decoder_looks_for_the_padding_of_its_tokenizer():
    model, tokenizer = tiny_classifier("llama").eval(), tiny_tokenizer()
    model.config.pad_token_id = 9  # an ordinary word of these batches
    fit_to_tokenizer(model, tokenizer)
    assert model.config.pad_token_id == tokenizer.pad_token_id


def test_a_model_whose_padding_shows_is_refused_before_it_trains(tmp_path):
    trainer = trainer_for(tmp_path, model=tiny_classifier("t5gemma"))
    with pytest.raises(
        ModelError, match="T5GemmaForSequenceClassification gives a text other logits"
    ):
        trainer.train()
    assert not (tmp_path / "run" / "model").exists()
    with pytest.raises(ModelError, match="convbert cannot be adapted: it mixes the padding"):
        trainer_for(tmp_path, model=tiny_classifier("convbert"))


def test_a_model_that_cannot_read_text_alone_is_refused(tmp_path):
    model = tiny_classifier("xmod")
    model.config.default_language = None
    with pytest.raises(ModelError, match="cannot read a batch of texts"):
        trainer_for(tmp_path, model=model).train()
    with pytest.raises(ModelError, match="gemma3 cannot be adapted: it reads images"):
        trainer_for(tmp_path, model=tiny_classifier("gemma3"))


def test_features_that_are_not_what_makes_the_logits_are_refused():
    model = tiny_classifier("llama")
    forward = model.forward

    def scaled(**inputs):
        output = forward(**inputs)
        output.logits = 2 * output.logits
        return output

    model.forward = scaled
    with pytest.raises(ModelError, match="there are no features to align"):
        fit_to_tokenizer(model, tiny_tokenizer())


def test_the_first_token_of_a_decoder_is_no_feature(tmp_path):
    with pytest.raises(ConfigError, match="its first token knows nothing of the text"):
        trainer_for(tmp_path, model=tiny_classifier("gpt2"), domain_features="first").train()
    model = tiny_classifier("eurobert")  # maps every token too, but reads both ways
    fit_to_tokenizer(model, tiny_tokenizer(), "first")


def test_a_decoder_is_pooled_over_its_text(tmp_path):
    results = trainer_for(tmp_path, model=tiny_classifier("gpt2"), domain_features="mean").train()
    assert results["adapted"]["steps"] == 2


@pytest.mark.parametrize("name", ["bart", "xlm"])
def test_layers_that_cannot_be_told_apart_are_not_frozen_one_by_one(tmp_path, name):
    model = tiny_classifier(name)
    for what in ("embeddings", 1):
        with pytest.raises(ConfigError, match="has no single list of layers"):
            freeze(model, what)
    results = trainer_for(tmp_path, model=model, freeze="all", compare_source_only=False).train()
    assert results["adapted"]["steps"] == 2


def test_an_encoder_decoder_has_no_one_place_to_perturb(tmp_path):
    with pytest.raises(ConfigError, match="fgm perturbs the embeddings of the text, which Bart"):
        trainer_for(tmp_path, model=tiny_classifier("bart"), method="fgm").train()


def test_an_end_token_in_a_text_is_named():
    model = tiny_classifier("bart").eval()
    ids = torch.tensor([[2, 9, 3, 3], [2, 9, 7, 3]])
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with pytest.raises(DataError, match="holds the end token of BartForSequenceClassification"):
        unit_logits(model, batch)


def test_xlnet_reads_the_last_token_wherever_padding_is():
    model = tiny_classifier("xlnet").eval()
    tokenizer = with_padding(tiny_tokenizer(), model.config)
    assert tokenizer.padding_side == "left" != tiny_tokenizer().padding_side
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt", return_token_type_ids=False)
    right = tiny_tokenizer()(TEXTS, padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        torch.testing.assert_close(unit_logits(model, right), model(**inputs).logits)


def test_what_needs_nothing_keeps_its_tokenizer():
    tokenizer = tiny_tokenizer()
    assert with_padding(tokenizer, tiny_model().config) is tokenizer
    assert UnitReader(tiny_model()).width(tiny_model()) == 32
