"""What encoders call their parts, and how each architecture differs from the others.

What holds for one architecture alone stands in `ARCHITECTURES`. The rest is read off the modules
and the configuration, so that encoders without an entry work as well.
"""

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from nlp_adapt.errors import ConfigError, ModelError


@dataclass(frozen=True)
class Architecture:
    """Names and numbers of an architecture; the defaults hold for all that lack an entry.

    Attributes:
        embeddings: The module of the encoder that gives the first layer its input.
        projections: Modules between the two (ELECTRA).
        after_layers: Modules of the encoder that read its last layer, where it has them.
        attention: Found in the names of a layer's attention.
        keys_and_values: Matches the maps of a layer that (IA)3 scales.
        attention_dropout: Options of the configuration that drop attention weights.
        reserved_positions: Positions that no token has: RoBERTa counts from `padding_idx + 1`.
        padding_side: Where the saved tokenizer pads; batches are padded on the right in any case.
        reads_end: The module of the sentence head that reads the last place of each row, be it
            padding or not (XLNet).
        tokens_first: Whether its word embeddings are asked for `[width, rows]` ids.
        pads_further: Whether it pads rows to multiples of a block before it embeds them.
        refused: Why it cannot be trained rightly.
    """

    embeddings: str = "embeddings"
    projections: tuple[str, ...] = ("embeddings_project",)
    after_layers: tuple[str, ...] = (
        "pooler", "final_norm", "norm", "ln_f", "norm_f", "final_layer_norm", "final_layernorm"
    )  # fmt: skip
    attention: str = r"att(n|ention)"
    keys_and_values: str = r"(?:^|[._])(key|value|k|v|k_lin|v_lin|key_proj|value_proj|Wqkv)$"
    attention_dropout: tuple[str, ...] = ("attention_probs_dropout_prob", "attention_dropout")
    reserved_positions: int = 0
    padding_side: str = "right"
    reads_end: str = ""
    tokens_first: bool = False
    pads_further: bool = False
    refused: str = ""


_ROBERTA = Architecture(reserved_positions=2)
_T5 = Architecture(after_layers=("encoder.final_layer_norm",))
_LEAKS = Architecture(refused="it mixes the padding beside a text into it")

ARCHITECTURES: dict[str, Architecture] = {
    **dict.fromkeys(
        ["roberta", "camembert", "data2vec-text", "ibert", "lilt", "luke", "markuplm", "mpnet"],
        _ROBERTA,
    ),
    **dict.fromkeys(("xlm-roberta", "xmod"), _ROBERTA),
    **dict.fromkeys(("canine", "convbert", "fnet", "funnel", "nystromformer", "yoso"), _LEAKS),
    **dict.fromkeys(("t5", "mt5", "umt5"), _T5),
    "big_bird": Architecture(pads_further=True),
    "biogpt": Architecture(after_layers=("layer_norm",)),
    "ctrl": Architecture(after_layers=("layernorm",)),
    "esm": Architecture(reserved_positions=2, after_layers=("encoder.emb_layer_norm_after",)),
    "layoutlmv2": Architecture(refused="it reads the image of a page beside its text"),
    "layoutlmv3": Architecture(reserved_positions=2, after_layers=()),
    "longformer": Architecture(reserved_positions=2, pads_further=True),
    "megatron-bert": Architecture(after_layers=("pooler", "encoder.ln")),
    "mra": Architecture(refused="its attention is zero without a CUDA kernel of its own"),
    "opt": Architecture(after_layers=("decoder.final_layer_norm",)),
    "reformer": Architecture(refused="it trains on rows of one fixed length alone"),
    "roberta-prelayernorm": Architecture(
        reserved_positions=2, after_layers=("pooler", "LayerNorm")
    ),
    "xlm-roberta-xl": Architecture(
        reserved_positions=2, after_layers=("pooler", "encoder.LayerNorm")
    ),
    "xlnet": Architecture(padding_side="left", reads_end="sequence_summary", tokens_first=True),
}

# How vocabularies mark a token that continues a word, or one that begins one.
CONTINUATION_PREFIX = "##"
WORD_START_PREFIXES = ("Ġ", "▁")


def architecture_of(config: Any) -> Architecture:
    """The facts about the architecture of a transformers configuration."""
    return ARCHITECTURES.get(config.model_type, Architecture())


def averages_logits(config: Any) -> bool:
    """Whether a sentence head that maps every token to logits takes their mean (EuroBERT's)."""
    return getattr(config, "classifier_pooling", None) == "late"


def plain_model(task_model: Any) -> Any:
    """The transformers model itself, also inside a PEFT wrapper (its adapters stay active)."""
    unwrap = getattr(task_model, "get_base_model", None)
    return task_model if unwrap is None else unwrap()


def encoder_of(task_model: Any) -> Any:
    """The bare encoder of a task model, also inside a PEFT wrapper."""
    return plain_model(task_model).base_model


def encoder_layers(task_model: Any) -> nn.ModuleList:
    """The transformer layers, lowest first.

    ALBERT's shared layers come as the list of their groups, shorter than the depth of the encoder.
    """
    model = plain_model(task_model)
    depth, kind = getattr(model.config, "num_hidden_layers", None), type(model).__name__
    lists = [part for part in encoder_of(task_model).modules() if isinstance(part, nn.ModuleList)]
    deep = [layers for layers in lists if len(layers) == depth]
    if (
        not (depth and lists)
        or model.config.is_encoder_decoder
        or _are_parts(deep, encoder_of(task_model))
    ):
        raise ConfigError(
            f"{kind} has no single list of layers, so that freeze takes only 'all', lora_targets "
            "only names, and layer_decay and gradual_unfreezing do not apply."
        )
    return (deep or lists)[0]


def _are_parts(lists: list[nn.ModuleList], encoder: nn.Module) -> bool:
    """Whether layers lie in pieces, each kind of piece in a list of its own, as XLM's do."""
    return len(set(lists) & set(encoder.children())) > 1


def separate_layers(task_model: Any, key: str) -> nn.ModuleList:
    """The layers, where each has weights of its own."""
    layers = encoder_layers(task_model)
    config = plain_model(task_model).config
    if len(layers) != config.num_hidden_layers:
        raise ConfigError(
            f"{key}: the {config.num_hidden_layers} layers of {config.model_type} share one set of "
            "weights, so that they cannot be treated differently; only `freeze: embeddings` and "
            "`freeze: all` work with it."
        )
    return layers


def after_layers(task_model: Any) -> list[nn.Module]:
    """Modules of the encoder that read its last layer: a pooler, a final norm."""
    named = dict(encoder_of(task_model).named_modules())
    names = architecture_of(plain_model(task_model).config).after_layers
    return [named[name] for name in names if name in named]


def modules_below(task_model: Any, depth: int) -> list[nn.Module]:
    """All that the input of layer `depth` depends on: embeddings, positions, the lower layers."""
    layers: list[nn.Module] = list(encoder_layers(task_model))
    above = {*layers[depth:], *after_layers(task_model)}
    parts: list[nn.Module] = []

    def visit(module: nn.Module) -> None:
        if module in above:
            return
        if above.isdisjoint(module.modules()):
            parts.append(module)
            return
        for child in module.children():
            visit(child)

    visit(encoder_of(task_model))
    return parts


def layer_distances(task_model: Any) -> dict[int, int]:
    """For the id of each encoder parameter, how many layers lie between it and the top.

    The top layer and what follows it have 0, the lowest layer `n - 1`, the embeddings `n`.
    """
    layers = separate_layers(task_model, "layer_decay")
    distances = {id(one): len(layers) for one in encoder_of(task_model).parameters()}
    for index, layer in enumerate(layers):
        distances.update((id(one), len(layers) - 1 - index) for one in layer.parameters())
    for module in after_layers(task_model):
        distances.update((id(one), 0) for one in module.parameters())
    return distances


def place_of(module: nn.Module, parent: nn.Module) -> tuple[nn.Module, str]:
    """The submodule of `parent` that holds `module`, and the name under which it does."""
    return next(
        (holder, name)
        for holder in parent.modules()
        for name, child in holder._modules.items()
        if child is module
    )


def linear_maps(task_model: Any, which: str = "all") -> list[str]:
    """Names of the linear maps inside one layer: `all`, or the `attention`'s."""
    first = encoder_layers(task_model)[0]
    attention = re.compile(architecture_of(plain_model(task_model).config).attention)
    names = [name for name, part in first.named_modules() if isinstance(part, nn.Linear)]
    return [name for name in names if which == "all" or attention.search(name)]


def head_modules(task_model: Any) -> dict[str, nn.Module]:
    """What stands between the last layer and the logits, by name: the head, and the pooler if any.

    Names are paths in the plain model, as PEFT's `modules_to_save` wants them.
    """
    model, encoder = plain_model(task_model), encoder_of(task_model)
    found = {
        name: module
        for name, module in model.named_children()
        if module is not encoder and any(True for _ in module.parameters())
    }
    pooler = getattr(encoder, "pooler", None)
    if isinstance(pooler, nn.Module):
        found["pooler"] = pooler
    return found


def output_layer(model: Any) -> nn.Linear:
    """The linear layer that maps features to the model's labels."""
    num_labels = model.config.num_labels
    base = encoder_of(model)
    inside = set(base.modules()) if base is not plain_model(model) else set()
    found = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module.out_features == num_labels
        and module not in inside
        and "original_module" not in name  # what PEFT keeps aside of a head that it trains
    ]
    if not found:
        raise ModelError(
            f"{type(model).__name__} has no linear output layer with {num_labels} outputs: "
            "use an encoder with an ordinary classification head, such as BERT or RoBERTa."
        )
    return found[-1]


def longest_input(config: Any, tokenizer: Any) -> int:
    """Most tokens that a row may have for an encoder with this configuration."""
    limit = getattr(tokenizer, "model_max_length", None) or 10**9
    names = ("max_position_embeddings", "max_seq_len")
    positions = next(filter(None, (getattr(config, name, None) for name in names)), 0)
    if positions > 0:  # XLNet, whose positions are relative, says -1
        reserved = architecture_of(config).reserved_positions
        if reserved:
            reserved = max(reserved, (config.pad_token_id or 0) + 1)
        limit = min(limit, positions - reserved)
    return int(min(limit, 10**6))


def continuing_tokens(vocabulary: Mapping[str, int]) -> list[int]:
    """Ids of the tokens that continue a word, under the convention most tokens follow.

    WordPiece marks the tokens that continue a word ("##ing"); byte-level BPE and SentencePiece mark
    those that begin one ("Ġthe", "▁the"), and there punctuation begins a word too.
    """
    counts = {
        prefix: sum(token.startswith(prefix) for token in vocabulary)
        for prefix in (CONTINUATION_PREFIX, *WORD_START_PREFIXES)
    }
    prefix = max(counts, key=lambda name: counts[name])
    if counts[prefix] == 0:
        return []
    if prefix == CONTINUATION_PREFIX:
        return [index for token, index in vocabulary.items() if token.startswith(prefix)]
    return [
        index
        for token, index in vocabulary.items()
        if token and not token.startswith(prefix) and token[0] not in string.punctuation
    ]


def is_adapter_parameter(name: str) -> bool:
    """Whether a parameter's name is one of an adapter's."""
    return "lora_" in name or "ia3_" in name


def has_adapters(task_model: Any) -> bool:
    """Whether a model holds adapters, injected or in a PEFT wrapper."""
    return any(is_adapter_parameter(name) for name, _ in task_model.named_parameters())
