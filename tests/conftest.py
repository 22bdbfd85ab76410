"""Tiny models and toy domains, made in memory: no test downloads anything."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Before any library is imported: no test reaches the network, even where a library would like to.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# As torchrun does: another number of threads is another order of additions.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from tests.helpers.toy_texts import FILLER, NEGATIVE, POSITIVE, SOURCE_WORDS, TARGET_WORDS, toy_rows

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


# Garbage is not looked for while modules are imported, nor among them afterwards: every stage of a
# run ends with a full collection, which would go through all that the libraries have loaded.
def pytest_collection() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random 2-layer BERT (hidden 32) with a WordPiece tokenizer, as a Hugging Face folder."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = [*SPECIAL, *FILLER, *POSITIVE, *NEGATIVE, *SOURCE_WORDS, *TARGET_WORDS]
    words += [chr(code) for code in range(ord("a"), ord("z") + 1) if chr(code) not in words]
    words += [f"##{chr(code)}" for code in range(ord("a"), ord("z") + 1)]
    words += [*"0123456789.,!?:'-", *(f"##{digit}" for digit in "0123456789")]
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    folder = tmp_path_factory.mktemp("tiny") / "bert"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            initializer_range=0.2,  # large enough for a random encoder to tell words apart
        )
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def toy_source_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 labelled rows, columns text and label."""
    path = tmp_path_factory.mktemp("source") / "reviews.csv"
    rows = toy_rows(SOURCE_WORDS, 96, seed=1)
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return path


@pytest.fixture(scope="session")
def toy_target_jsonl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 rows of another domain, with labels to evaluate on."""
    path = tmp_path_factory.mktemp("target") / "tweets.jsonl"
    rows = toy_rows(TARGET_WORDS, 80, seed=2)
    path.write_text(
        "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
    )
    return path


@pytest.fixture(scope="session")
def train_words(
    tiny_model_dir: Path, toy_source_csv: Path, toy_target_jsonl: Path
) -> Sequence[object]:
    """`nlp-adapt train` on the toy domain, without an output folder."""
    return (
        *("train", "--model", tiny_model_dir, "--source", toy_source_csv),
        *("--target", toy_target_jsonl, "--target-test", toy_target_jsonl),
        *("--max-steps", 4, "--per-device-train-batch-size", 8, "--learning-rate", "1e-3"),
        *("--precision", "fp32", "--max-length", 32, "--logging-steps", 1, "--disable-tqdm"),
        *("--method", "dann", "--options.dann.lambda_max", 0.5),
    )


@pytest.fixture(scope="session")
def toy_run(train_words: Sequence[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    from nlp_adapt.cli import main

    folder = tmp_path_factory.mktemp("runs") / "toy"
    assert main([str(word) for word in (*train_words, "--output-dir", folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Any]]:
    """A run of `trainer_for` that nothing breaks off, trained once for all that compare with it.

    Returns its folder, to be read alone, and its results.
    """
    from tests.helpers.trainers import trainer_for

    known: dict[str, tuple[Path, Any]] = {}

    def run(**options: Any) -> tuple[Path, Any]:
        key = repr(sorted(options.items()))
        if key not in known:
            folder = tmp_path_factory.mktemp("whole")
            known[key] = folder, trainer_for(folder, **options).train()
        return known[key]

    return run


@pytest.fixture
def run_cli(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run `nlp-adapt` in this process: exit code, stdout, stderr."""
    from nlp_adapt.cli import main

    def run(*words: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(word) for word in words])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run
