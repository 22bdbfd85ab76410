"""Tokenizers as people bring them, and as they are saved."""

import json
import sys

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast, pipeline

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import ModelError
from nlp_adapt.modeling import tokenizers
from nlp_adapt.modeling.tokenizers import for_words, load_tokenizer, save_tokenizer
from nlp_adapt.prediction.opening import load_predictor
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer
from tests.helpers.trainers import toy_domain, trainer_for

WORDS = ("really", "superb", "don't", "phone,", "(good)", "A1")


def byte_level(pre_tokenizer, normalizer=None, **options):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = pre_tokenizer, decoders.ByteLevel()
    if normalizer is not None:
        backend.normalizer = normalizer
    specials = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=list(specials.values()),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(["a really superb phone, don't (good) A1"] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **specials, **options)


def metaspace(scheme):
    pieces = [("<unk>", -9.0), ("▁", -3.0), *((letter, -4.0) for letter in "".join(WORDS))]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


SPLIT = pre_tokenizers.Split(
    Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+"), "isolated"
)
KINDS = {
    "byte-level": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "byte-level with a pattern": lambda: byte_level(
        pre_tokenizers.Sequence([SPLIT, pre_tokenizers.ByteLevel(False, use_regex=False)]),
        normalizers.NFC(),
    ),
    "metaspace without the first": lambda: metaspace("never"),
}


def pieces(tokenizer, text, **options):
    return tokenizer(text, add_special_tokens=False, **options).tokens()


@pytest.mark.parametrize("kind", KINDS)
def test_words_get_the_pieces_that_they_have_in_a_text(kind, tmp_path):
    tokenizer = KINDS[kind]()
    text = " ".join(WORDS)
    before = pieces(tokenizer, text)
    assert pieces(tokenizer, list(WORDS), is_split_into_words=True) != before  # as they come
    fitted = for_words(tokenizer)
    found = pieces(fitted, list(WORDS), is_split_into_words=True)
    assert found == pieces(fitted, text)
    assert found[-len(before) + 2 :] == before[2:]  # all but the first word stay as they were
    assert pieces(tokenizer, text) == before  # the caller's own stays as it is
    save_tokenizer(fitted, tmp_path, 64)
    assert pieces(AutoTokenizer.from_pretrained(tmp_path), text) == found


@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "RobertaTokenizerFast"])
def test_a_loaded_tokenizer_marks_words_whether_or_not_its_class_follows(name, tmp_path):
    KINDS["byte-level"]().save_pretrained(tmp_path)
    for file, change in (
        ("tokenizer_config.json", {"tokenizer_class": name}),
        ("config.json", {"model_type": "modernbert" if "Pre" in name else "roberta"}),
    ):
        path = tmp_path / file
        values = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**values, **change}))
    found = pieces(load_tokenizer(str(tmp_path), words=True), list(WORDS), is_split_into_words=True)
    assert found[0].startswith("Ġ")
    assert found == pieces(load_tokenizer(str(tmp_path)), f" {' '.join(WORDS)}")


def test_a_tokenizer_that_needs_no_mark_is_not_copied():
    for tokenizer in (tiny_tokenizer(), metaspace("always")):
        assert for_words(tokenizer) is tokenizer


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta", "deberta-v2", "mpnet", "t5"])
def test_a_folder_without_a_vocabulary_is_refused(kind, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(ModelError, match=r"holds no vocabulary|the tokenizer cannot be loaded"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize("damage", ["no such special token", "no unknown token"])
def test_what_fails_at_the_first_text_alone_is_refused(damage, tmp_path):
    tiny_tokenizer().save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    values = json.loads(file.read_text())
    if damage == "no such special token":
        values["post_processor"]["single"][0]["SpecialToken"]["id"] = "[OTHER]"
    else:
        values["model"]["unk_token"] = "[OTHER]"
    tiny_model("bert", labels=["a", "b"]).save_pretrained(tmp_path)
    file.write_text(json.dumps(values))
    with pytest.raises(ModelError, match="the tokenizer"):
        load_predictor(tmp_path, device="cpu")


def test_training_from_a_folder_without_tokenizer_is_refused(tmp_path):
    tiny_model().save_pretrained(tmp_path / "base")
    config = AdaptationConfig(output_dir=str(tmp_path / "run"))
    with pytest.raises(ModelError, match="holds no vocabulary"):
        AdaptationTrainer(str(tmp_path / "base"), config, toy_domain("a", 30), toy_domain("b", 50))


def test_a_tokenizer_beyond_the_embedding_is_refused_before_training_and_reading(tmp_path):
    large = tiny_tokenizer()
    large.add_tokens(["one", "two"])
    said = r"the tokenizer has 97 tokens, but the model knows 95; .*resize_token_embeddings"
    options = {"compare_source_only": False, "max_steps": 1}
    trainer = trainer_for(tmp_path, **options)
    for model in (tiny_model(), str(tmp_path / "base")):
        tiny_model().save_pretrained(tmp_path / "base")
        with pytest.raises(ModelError, match=said):
            AdaptationTrainer(
                model,
                trainer.args,
                toy_domain("a", 30),
                toy_domain("b", 50),
                processing_class=large,
            )
    large.save_pretrained(tmp_path / "base")
    with pytest.raises(ModelError, match=said):
        load_predictor(tmp_path / "base")
    resized = tiny_model()
    resized.resize_token_embeddings(len(large))
    AdaptationTrainer(
        resized, trainer.args, toy_domain("a", 30), toy_domain("b", 50), processing_class=large
    )


def test_what_reads_a_sentencepiece_model_is_named(tmp_path, monkeypatch):
    def asks_for_it(*args, **kwargs):
        raise ValueError("`tiktoken` is required to read a `tiktoken` file.")

    (tmp_path / "config.json").write_text('{"model_type": "xlm-roberta"}')
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"\n\x0b")
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", asks_for_it)
    monkeypatch.setattr(tokenizers, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r'pip install "nlp-adapt\[sentencepiece\]"'):
        load_tokenizer(str(tmp_path))
    monkeypatch.setattr(tokenizers, "find_spec", lambda name: sys)
    with pytest.raises(ModelError, match="the tokenizer cannot be loaded"):
        load_tokenizer(str(tmp_path))


def test_an_exported_tokenizer_states_the_length_and_no_state_of_training(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = 10**30  # as many on the Hub
    config = AdaptationConfig(
        output_dir=str(tmp_path / "run"),
        max_length=8,
        max_steps=1,
        compare_source_only=False,
        disable_tqdm=True,
    )
    trainer = AdaptationTrainer(
        tiny_model(), config, toy_domain("a", 30), toy_domain("b", 50), processing_class=tokenizer
    )
    trainer.train()
    folder = tmp_path / "run" / "model"
    saved = json.loads((folder / "tokenizer.json").read_text())
    assert (saved["truncation"], saved["padding"]) == (None, None)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    assert config["model_max_length"] == 8
    assert not {"max_length", "stride", "truncation_strategy"} & set(config)
    assert tokenizer.model_max_length == 10**30  # the caller's own
    read = pipeline("text-classification", model=str(folder), truncation=True, top_k=None)
    text = " ".join(f"word{number}" for number in range(90))
    answer = {one["label"]: one["score"] for one in read(text)[0]}
    assert answer == pytest.approx(trainer.predict([text])[0]["scores"], abs=1e-5)
    assert answer == pytest.approx(load_predictor(folder).predict([text])[0]["scores"], abs=1e-5)
