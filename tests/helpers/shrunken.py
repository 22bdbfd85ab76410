"""Tiny random models of every architecture that transformers has, from its default configuration."""

from __future__ import annotations

from contextlib import suppress

import torch
import transformers
from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

from tests.helpers.tiny_encoders import VOCAB

TAGS = ("O", "B-PER", "I-PER")
WIDTH, HEADS, LAYERS, POSITIONS, RANK = 48, 2, 2, 40, 8
# Names of attributes, and the number that they are set to where a configuration has them.
_SIZES = (
    ("vocab_size vocab_size_per_layer_input entity_vocab_size pronunciation_vocab_size "
     "shape_vocab_size", len(VOCAB)),
    ("hidden_size d_model n_embd n_embed emb_dim dim embedding_size d_latents intermediate_size dff "
     "d_ff ffn_dim d_inner encoder_ffn_dim decoder_ffn_dim hidden_dim n_inner ffn_hidden_size "
     "moe_intermediate_size shared_expert_intermediate_size intra_bottleneck_size true_hidden_size "
     "entity_emb_size input_embedding_size output_embedding_size dense_intermediate_size "
     "word_embed_proj_dim feed_forward_size pooler_hidden_size cross_attention_hidden_size", WIDTH),
    ("num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers "
     "num_decoder_layers num_blocks num_self_attends_per_block", LAYERS),
    ("num_attention_heads n_head n_heads num_heads encoder_attention_heads "
     "decoder_attention_heads num_key_value_heads num_kv_heads num_self_attention_heads "
     "num_cross_attention_heads multi_query_group_num linear_num_value_heads linear_num_key_heads "
     "mamba_n_heads n_mamba_heads num_local_experts num_experts n_routed_experts "
     "num_experts_per_tok moe_topk top_k", HEADS),
    ("head_dim d_kv rotary_dim qk_nope_head_dim v_head_dim linear_key_head_dim linear_value_head_dim "
     "attention_head_size mamba_d_head mamba_headdim d_head", WIDTH // HEADS),
    ("max_position_embeddings n_positions max_seq_len seq_length max_2d_position_embeddings n_ctx "
     "max_encoder_position_embeddings max_decoder_position_embeddings", POSITIONS),
    ("qk_rope_head_dim kv_lora_rank q_lora_rank mamba_d_state coordinate_size shape_size", RANK),
    ("n_group topk_group n_shared_experts", 1),
)  # fmt: skip
_VALUES = {name: size for names, size in _SIZES for name in names.split()}
_SPECIALS = {
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "cls_token_id": 2,
    "sep_token_id": 3,
    "mask_token_id": 4,
    "decoder_start_token_id": 0,
}
# What no rule gives.
_LATENT = {"head_dim": RANK}
_HYBRID = {
    "num_hidden_layers": 4,
    "layers_block_type": ["linear_attention", "hybrid"] * 2,
    "attention_hidden_size": 2 * WIDTH,
    "attention_head_dim": 2 * WIDTH // HEADS,
}
_OWN = {
    "deepseek_v2": {**_LATENT, "num_experts_per_tok": 2},
    "deepseek_v3": _LATENT,
    "axk1": _LATENT,
    "axk2": _LATENT,
    "minicpm3": _LATENT,
    "hunyuan_v1_dense": {"head_dim": WIDTH // HEADS},
    "hunyuan_v1_moe": {"head_dim": WIDTH // HEADS},
    "ministral": {"head_dim": WIDTH // HEADS},
    "mistral4": {"qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "head_dim": 16, "qk_head_dim": 16},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "zamba": _HYBRID,
    "zamba2": {**_HYBRID, "n_mamba_heads": 4, "hybrid_layer_ids": [1, 3]},
    "cohere_compass_text": {
        "layer_types": ["full_attention"] * LAYERS,
        "rope_parameters": {
            "full_attention": {
                "rope_type": "default",
                "rope_theta": 1e4,
                "mrope_section": [4, 4, 4],
            }
        },
    },
    "nemotron": {"num_key_value_heads": HEADS},
    "esm": {"vocab_size": len(VOCAB)},
    "xmod": {"default_language": "en_XX"},
    "reformer": {"axial_pos_embds_dim": (24, 24), "axial_pos_shape": (4, 10)},
}


def classifiers(task):
    """Architectures by the name of their configuration: the class for this task."""
    kind = {
        "SequenceClassification": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "TokenClassification": modeling_auto.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
    }
    return kind[task]


def tiny_config(model_type, **values):
    """The default configuration of an architecture, shrunk."""
    config = CONFIG_MAPPING[model_type]()
    _shrink(config)
    for key, value in {**_OWN.get(model_type, {}), **values}.items():
        setattr(config, key, value)
    return config


def _shrink(config):
    names = [*config.to_dict(), *getattr(config, "attribute_map", {})]
    layers = getattr(config, "num_hidden_layers", None)
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, list) and len(value) == layers and layers > LAYERS:
            value = [value[0], value[-1]]
        elif isinstance(value, int) and not isinstance(value, bool) and name in _VALUES:
            value = _VALUES[name] if "vocab" in name else min(value, _VALUES[name])
        elif isinstance(value, float) and ("drop" in name or name.endswith("jitter_noise")):
            value = 0.0
        elif name in ("initializer_range", "init_std"):
            value = 0.2
        elif hasattr(value, "to_dict"):
            _shrink(value)
        else:
            continue
        with suppress(AttributeError):  # a property
            setattr(config, name, value)
    for name, value in _SPECIALS.items():
        setattr(config, name, value)


def tiny_classifier(model_type, task="SequenceClassification", seed=0):
    """A random model of an architecture with a head for sentiment or for persons."""
    torch.manual_seed(seed)
    config = tiny_config(model_type)
    names = ("negative", "positive") if task == "SequenceClassification" else TAGS
    config.num_labels = len(names)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}
    return getattr(transformers, f"AutoModelFor{task}").from_config(config).float()
