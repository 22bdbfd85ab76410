"""Small JSON files of a model that no model should have: one sentence each, at once."""

import json
import shutil
import time

import pytest
from safetensors.torch import load_file, save_file

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.errors import AdaptationError, ConfigError, ModelError
from nlp_adapt.modeling.lora import add_adapters, save_task_model
from nlp_adapt.modeling.pretrained import load_encoder, load_task_model
from nlp_adapt.modeling.tokenizers import load_tokenizer
from nlp_adapt.prediction.opening import load_predictor
from tests.helpers.tiny_encoders import tiny_model, tiny_tokenizer

KIND, NAMES = "AutoModelForSequenceClassification", ["negative", "positive"]
DIGITS, HALF = "9" * 5000, "\ud83d"
DEEP = "[" * 100_000 + "]" * 100_000
KERNEL = "owner/kernel"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapted(tmp_path_factory, sound):
    from transformers import AutoModelForSequenceClassification

    folder = tmp_path_factory.mktemp("adapted")
    base = AutoModelForSequenceClassification.from_pretrained(sound)
    save_task_model(add_adapters(base), folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def damaged(folder, tmp_path, name, change):
    """A copy in which a file is other text, or has other values."""
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    if isinstance(change, str):
        (copy / name).write_text(change)
    else:
        values = json.loads((copy / name).read_text())
        (copy / name).write_text(json.dumps({**values, **change}))
    return copy


def starting(folder):
    load_task_model(str(folder), KIND, NAMES, new_head=True)
    load_tokenizer(str(folder))


def sentences(folder, openers=(load_predictor, starting, load_tokenizer)):
    """What each opener says; every one has to answer soon, and with one printable sentence."""
    found = []
    for opener in openers:
        begun = time.perf_counter()
        try:
            opener(str(folder))
        except AdaptationError as error:
            said = str(error)
            assert "\n" not in said, said
            assert len(said.replace(str(folder), "")) < 500, said
            said.encode()
            found.append(said)
        assert time.perf_counter() - begun < 20
    return found


# What must be refused, and with which words

REFUSED = [
    ({"attn_implementation": KERNEL}, "attn_implementation is owner/kernel"),
    ({"_attn_implementation": KERNEL}, "attn_implementation is owner/kernel"),
    ({"_attn_implementation_internal": KERNEL}, "attn_implementation_internal is owner/kernel"),
    ({"attn_implementation": {"": "sdpa", "text_config": KERNEL}}, "is owner/kernel"),
    ({"text_config": {"attn_implementation": KERNEL}}, "is owner/kernel"),
    ({"attn_implementation": "paged|owner/kernel@main"}, "must be one of sdpa, eager"),
    ({"attn_implementation": "flash_attention_2"}, "flash-attn is not installed"),
    ({"attn_implementation": [KERNEL]}, "is owner/kernel"),
    ({"experts_implementation": "deepgemm"}, "must be one of eager"),
    ({"quantization_config": {"quant_method": "metal"}}, "quantization_config is"),
    ({"transformers_weights": "../other.safetensors"}, "transformers_weights is"),
    ({"num_labels": 1_000_000_000}, "num_labels is 1,000,000,000"),
    ({"num_hidden_layers": 10_000_000}, "num_hidden_layers is 10,000,000"),
    ({"text_config": {"num_hidden_layers": 10_000_000}}, "num_hidden_layers is 10,000,000"),
    ({"num_hidden_layers": [10_000_000]}, "num_hidden_layers is 10,000,000"),
    ({"hidden_size": 4_000_000_000}, "hidden_size is 4,000,000,000"),
    ({"hidden_size": 1_000_000}, "hidden_size 1,000,000 in its config.json"),
    ({"vocab_size": 5_000_000_000}, "vocab_size is 5,000,000,000"),
    ({"vocab_size": 2_000_000_000}, "vocab_size 2,000,000,000 in its config.json"),
    ({"max_position_embeddings": 2_000_000_000}, "max_position_embeddings 2,000,000,000"),
    ({"intermediate_size": 2_000_000_000}, "intermediate_size 2,000,000,000"),
    ({"num_attention_heads": 0}, "num_attention_heads is 0"),
    ({"num_attention_heads": -2}, "num_attention_heads is -2"),
    ({"hidden_size": -32}, "hidden_size is -32"),
    ({"hidden_size": int("9" * 4000)}, "hidden_size is 9999"),
    ({"id2label": {"0": HALF, "1": "b"}}, "half of a surrogate pair"),
    ({HALF: 1}, "half of a surrogate pair"),
    ('{"hidden_size": ' + DIGITS + "}", "not valid JSON"),
    (DEEP, "nested too deeply"),
    ('{"a": ' * 50 + "1" + "}" * 50, "nested too deeply"),
    ("[]", "must hold a JSON object"),
    ("null", "must hold a JSON object"),
    ('"bert"', "must hold a JSON object"),
    ("", "not valid JSON"),
    ("{", "not valid JSON"),
    (" " * 2**25 + "{}", "larger than 32 MB"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), REFUSED, ids=[f"{words}" for _, words in REFUSED])
def test_what_names_code_or_exhausts_the_machine_is_refused(sound, tmp_path, change, words):
    folder = damaged(sound, tmp_path, "config.json", change)
    found = sentences(folder, (load_predictor, starting, load_encoder))
    assert len(found) == 3, found
    assert all(words in said for said in found), found
    assert all("config.json" in said for said in found), found


def test_no_flag_leads_to_a_kernel_of_the_hub(sound, monkeypatch):
    for wanted in (KERNEL, "flash_attention_3", "kernels-community/flash-attn2"):
        with pytest.raises(ConfigError, match=r"attn_implementation is '.*must be one of"):
            AdaptationConfig(attn_implementation=wanted)
        with pytest.raises(ModelError, match="attn_implementation is"):
            load_task_model(str(sound), KIND, NAMES, wanted)
    load_task_model(str(sound), KIND, NAMES, "eager")
    # A flash attention that is not installed would be fetched as a kernel.
    monkeypatch.setattr("transformers.modeling_utils.is_kernels_available", lambda: True)
    with pytest.raises(ModelError, match="flash-attn is not installed"):
        load_task_model(str(sound), KIND, NAMES, "flash_attention_2")


def test_a_model_as_large_as_its_weights_opens(sound, tmp_path):
    change = {"rope_theta": 10**12, "max_length": 10**30, "attn_implementation": "eager"}
    assert sentences(damaged(sound, tmp_path, "config.json", change)) == []


# Values of other types: refused or read, but always at once and in one sentence

ODD = [None, True, -1, 1.5, DIGITS, "\0", [1], {"a": [1]}]
KEYS = ["model_type", "architectures", "num_labels", "id2label", "label2id", "hidden_size",
        "num_hidden_layers", "num_attention_heads", "vocab_size", "max_position_embeddings",
        "hidden_act", "dtype", "problem_type", "pad_token_id", "initializer_range",
        "hidden_dropout_prob", "layer_norm_eps", "auto_map", "attn_implementation", "text_config",
        "pruned_heads", "return_dict", "tie_word_embeddings", "transformers_version", "is_decoder",
        "use_cache", "output_attentions", "chunk_size_feed_forward", "type_vocab_size",
        "_name_or_path", "name_or_path", "sub_configs", "per_layer_config", "torch_dtype",
        "quantization_config", "base_model_tp_plan", "rope_scaling", "rope_parameters"]  # fmt: skip
TOKENIZER_KEYS = ["tokenizer_class", "model_max_length", "pad_token", "unk_token", "cls_token",
                  "added_tokens_decoder", "extra_special_tokens", "additional_special_tokens",
                  "auto_map", "padding_side", "vocab_file", "tokenizer_file", "init_inputs",
                  "chat_template", "model_input_names", "fast_tokenizer_files", "backend",
                  "do_lower_case", "truncation_side", "special_tokens_map_file"]  # fmt: skip
ADAPTER_KEYS = ["peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "target_modules",
                "modules_to_save", "rank_pattern", "alpha_pattern", "layers_to_transform",
                "layers_pattern", "layer_replication", "bias", "init_lora_weights", "use_dora",
                "base_model_name_or_path", "megatron_config", "exclude_modules", "use_rslora",
                "loftq_config", "eva_config", "auto_mapping", "peft_version", "odd"]  # fmt: skip


SOME = "text_config hidden_size architectures dtype padding_side vocab_file version padding r "
SOME += "added_tokens target_modules base_model_name_or_path id2label"


def every(name, keys):
    """A row of the table for each key; all but some only on demand."""
    slow = pytest.mark.slow
    return [pytest.param(name, key, marks=() if key in SOME.split() else slow) for key in keys]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *every("config.json", KEYS),
        *every("tokenizer_config.json", TOKENIZER_KEYS),
        *every("adapter_config.json", ADAPTER_KEYS),
        *every("tokenizer.json", ["version", "truncation", "padding", "added_tokens", "normalizer",
                                  "pre_tokenizer", "post_processor", "decoder", "model"]),
    ],
)  # fmt: skip
def test_values_of_other_types(sound, adapted, tmp_path, name, key):
    folder = adapted if name.startswith("adapter") else sound
    opener = load_tokenizer if name.startswith("tokenizer") else load_predictor
    panics = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    for number, value in enumerate([*ODD, panics]):
        copy = damaged(folder, tmp_path / str(number), name, {key: value})
        sentences(copy, (opener,))
        if key in ("model_type", "dtype", "id2label"):
            sentences(copy, (starting,))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", DEEP, '{"a": ' + DIGITS + "}",
                                  '{"model": {"type": "WordPiece", "vocab": {"\\ud800": 0}}}',
                                  '{"unk_token": "\\ud800"}'])  # fmt: skip
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json",
                                  "special_tokens_map.json", "added_tokens.json"])  # fmt: skip
def test_damaged_files_of_a_tokenizer(sound, tmp_path, name, text):
    sentences(damaged(sound, tmp_path, name, text), (load_tokenizer, load_predictor))


def test_a_tokenizer_reads_files_of_its_own_folder_alone(sound, tmp_path):
    (tmp_path / "secret.txt").write_text("[UNK]\nsecret\n")
    change = {"vocab_file": str(tmp_path / "secret.txt")}
    (said,) = sentences(
        damaged(sound, tmp_path, "tokenizer_config.json", change), (load_tokenizer,)
    )
    assert "a model reads files of its own folder alone" in said


# Adapters

NOT_READ = [
    {"target_modules": ".*"},
    {"target_modules": r"(a+)+$"},
    {"target_modules": ["query", "(x+x+)+y"]},
    {"target_modules": r"bert\.encoder\.layer\.\d+\.(?:(a+)+b)"},
    {"modules_to_save": ["(a|a)*"]},
    {"exclude_modules": ".*"},
    {"rank_pattern": {"(.+)+": 8}},
    {"rank_pattern": {"query": 10**9}},
    {"alpha_pattern": {"^(a+)+$": 1}},
    {"layers_pattern": "(.*)*"},
    {"layer_replication": [[0, 2], [0, 2]] * 1000},
    {"megatron_config": {"a": 1}, "megatron_core": "os"},
    {"init_lora_weights": "pissa"},
    {"trainable_token_indices": [1]},
    {"use_a_key_of_tomorrow": "yes"},
    {"peft_type": "PROMPT_TUNING"},
    {"r": 10**6},
    {"r": 10**9},
    {"r": -1},
    {"r": True},
    {"lora_alpha": 10**300},
    {"base_model_name_or_path": ["a"]},
]  # fmt: skip


@pytest.mark.parametrize("change", NOT_READ, ids=str)
def test_adapters_are_told_by_plain_names_and_known_keys(adapted, tmp_path, change):
    folder = damaged(adapted, tmp_path, "adapter_config.json", change)
    found = sentences(folder, (load_predictor, starting))
    assert len(found) == 2
    key = next(iter(change))
    assert all(
        "adapter_config.json" in said and key in said.replace("query", key) for said in found
    )


def test_adapters_on_themselves_are_refused(adapted, tmp_path):
    change = {"base_model_name_or_path": str(tmp_path / "model")}
    found = sentences(damaged(adapted, tmp_path, "adapter_config.json", change))
    assert [said for said in found if "names other adapters" in said], found


def test_adapters_as_peft_writes_them_open(sound, tmp_path):
    import peft
    from transformers import AutoModelForSequenceClassification

    for number, config in enumerate([
        peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query", "value"], r=4,
                        rank_pattern={"query": 2}, alpha_pattern={"query": 3}, use_rslora=True),
        peft.LoraConfig(task_type="SEQ_CLS", target_modules="all-linear"),
        peft.LoraConfig(task_type="SEQ_CLS", init_lora_weights="gaussian", bias="lora_only",
                        target_modules=["key", "dense"], layers_to_transform=[1]),
        peft.IA3Config(task_type="SEQ_CLS"),
    ]):  # fmt: skip
        base = AutoModelForSequenceClassification.from_pretrained(sound)
        folder = tmp_path / str(number)
        peft.get_peft_model(base, config).save_pretrained(folder)
        values = load_file(folder / "adapter_model.safetensors")
        save_file({name: value + 0.1 for name, value in values.items()},
                  folder / "adapter_model.safetensors")  # fmt: skip
        wanted = peft.PeftModel.from_pretrained(
            AutoModelForSequenceClassification.from_pretrained(sound), folder
        ).merge_and_unload()
        found = load_task_model(str(folder), KIND, NAMES)
        assert all(
            value.allclose(found.state_dict()[name], atol=1e-6)
            for name, value in wanted.state_dict().items()
        )


def test_what_a_caller_chose_by_an_expression_is_saved_by_name(sound, tmp_path):
    import peft
    from transformers import AutoModelForSequenceClassification

    config = peft.LoraConfig(task_type="SEQ_CLS", target_modules=r".*\.(query|value)")
    base = AutoModelForSequenceClassification.from_pretrained(sound)
    save_task_model(peft.get_peft_model(base, config), tmp_path / "adapter")
    load_task_model(str(tmp_path / "adapter"), KIND, NAMES)
