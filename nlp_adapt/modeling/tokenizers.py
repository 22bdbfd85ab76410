"""Tokenizers: those that a model knows the pieces of, and which pieces make up one word."""

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.modeling.architectures import continuing_tokens, longest_input
from nlp_adapt.modeling.backbone import check_on_hub, loading, resolve_model

# What reads as unlimited: transformers writes 10**30 where a tokenizer states no length.
NO_LIMIT = 10**6
# Where a saved tokenizer states none.
USUAL_LENGTH = 512
# Words that begin, continue and end differently: split like text, they give the same pieces.
_PROBES = ("word", "don't", "A1,")
_UNKNOWN = "a \U0001fae8 text"
# Left in the configuration by a tokenizer.json that cuts or pads, and read by nothing.
_STATE = ("max_length", "stride", "truncation_strategy", "pad_to_multiple_of")


def load_tokenizer(model: str, *, words: bool = False) -> Any:
    """The fast tokenizer of `model`.

    Args:
        model: Hub id, folder or `builtin:` name.
        words: Whether it will be given words instead of text; see `for_words`.

    Raises:
        ModelError: If it cannot be found, reached or read, or knows no words.
    """
    from transformers import AutoTokenizer

    path = resolve_model(model)
    with loading(model, "tokenizer"):
        check_on_hub(path)
        try:
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        except (ImportError, ValueError) as error:
            if not _lacks_sentencepiece(str(error).lower()):
                raise
            raise ModelError(
                f"{model}: its tokenizer comes as a SentencePiece model alone, which takes two more "
                'packages to read: run `pip install "nlp-adapt[sentencepiece]"`.'
            ) from error
        tokenizer(_UNKNOWN)  # what is amiss in a tokenizer.json often shows at the first text alone
    if not tokenizer.is_fast:
        raise ModelError(f"{model}: has no fast tokenizer; use a model with tokenizer.json.")
    if not knows_words(tokenizer):
        raise ModelError(
            f"{model}: holds no vocabulary, so that every word would be unknown; save the model's "
            "tokenizer there as well (tokenizer.save_pretrained)."
        )
    return for_words(tokenizer) if words else tokenizer


def knows_words(tokenizer: Any) -> bool:
    """Whether there is more than special tokens, which is all that transformers makes of no file."""
    vocabulary = tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False)
    return bool(set(vocabulary).difference(tokenizer.all_special_tokens, ("▁", "")))


def for_words(tokenizer: Any) -> Any:
    """A tokenizer that reads a list of words as it reads their text; a copy where it must change.

    Byte-level BPE and some SentencePiece models mark the words that follow a space, and given words
    alone see none. What tells is the pieces, since not every class follows `add_prefix_space`.

    Raises:
        ModelError: If no space before each word makes both alike.
    """
    from tokenizers import normalizers, pre_tokenizers

    if _reads_words(tokenizer):
        return tokenizer
    marked = copy.deepcopy(tokenizer)
    backend = marked.backend_tokenizer
    if isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel):
        backend.pre_tokenizer.add_prefix_space = True
        marked.add_prefix_space = marked.init_kwargs["add_prefix_space"] = True
    if _reads_words(marked):
        return marked
    before = [] if backend.normalizer is None else [backend.normalizer]
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(" "), *before])
    if not _reads_words(marked):
        raise ModelError(
            f"{tokenizer.name_or_path or type(tokenizer).__name__}: the tokenizer reads words "
            "otherwise than the text that they make, so that no tag could be placed; use a model "
            "with another tokenizer."
        )
    return marked


def check_vocabulary(tokenizer: Any, config: Any, model: str) -> None:
    """Refuse a tokenizer with tokens that the model has no embedding for.

    Raises:
        ModelError: With both sizes.
    """
    known = getattr(config.get_text_config(), "vocab_size", None)
    size = max(tokenizer.get_vocab().values()) + 1
    if known is not None and size > known:
        raise ModelError(
            f"{model}: the tokenizer has {size:,} tokens, but the model knows {known:,}; use the "
            "model's own tokenizer, or call model.resize_token_embeddings(len(tokenizer)) first "
            "and save both."
        )


def training_limit(config: Any, tokenizer: Any) -> int:
    """Most tokens of a row to train on.

    What the model has positions for, where it says; a saved tokenizer may state the length of an
    earlier run instead.
    """
    limit = longest_input(config, None)
    return limit if limit < NO_LIMIT else longest_input(config, tokenizer)


def reading_length(config: Any, tokenizer: Any, wanted: int | None) -> int:
    """Tokens of a row that a saved model reads: as many as the tokenizer states, or as `wanted`.

    Raises:
        ConfigError: More are wanted than the model has positions for, or none.
    """
    if wanted is not None and wanted < 1:
        raise ConfigError(f"max_length is {wanted}, but must be at least 1.")
    if wanted is None:
        own = longest_input(config, tokenizer)
        return own if tokenizer.model_max_length < NO_LIMIT else min(USUAL_LENGTH, own)
    limit = longest_input(config, None)
    if wanted > limit:
        raise ConfigError(f"max_length is {wanted}, but this model reads {limit} tokens at most.")
    return wanted


def read_alike(one: Any, other: Any) -> bool:
    """Whether two tokenizers with one vocabulary make the same pieces of a text.

    Case, accents and special tokens are no part of the vocabulary.
    """
    words = [piece for piece in sorted(one.get_vocab()) if piece.isalnum()][:50]
    forms = [form for word in words for form in (word, word.title(), word.upper())]
    text = " ".join(["Zoë's naïve, plain words.", *forms])
    return bool(one(text, verbose=False)["input_ids"] == other(text, verbose=False)["input_ids"])


def save_tokenizer(tokenizer: Any, folder: Path, max_length: int) -> None:
    """Save a tokenizer that states the length of its model, without how it was last called."""
    saved = copy.deepcopy(tokenizer)
    saved.backend_tokenizer.no_truncation()
    saved.backend_tokenizer.no_padding()
    for name in _STATE:
        saved.init_kwargs.pop(name, None)
    saved.model_max_length = max_length
    saved.save_pretrained(folder)


class WordPieces(nn.Module):
    """Groups tokens `[rows, width]` into words, told from the vocabulary alone."""

    continues: Tensor
    special: Tensor
    ordinary: Tensor

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        vocabulary: dict[str, int] = tokenizer.get_vocab()
        size = max(vocabulary.values()) + 1
        special = torch.zeros(size, dtype=torch.bool)
        special[list(tokenizer.all_special_ids)] = True
        continues = torch.zeros(size, dtype=torch.bool)
        continues[continuing_tokens(vocabulary)] = True
        known = torch.zeros(size, dtype=torch.bool)
        known[list(vocabulary.values())] = True
        self.register_buffer("special", special, persistent=False)
        self.register_buffer("continues", continues & ~special, persistent=False)
        self.register_buffer("ordinary", (known & ~special).nonzero().squeeze(1), persistent=False)

    def words(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Word of each token.

        Args:
            ids: `[rows, width]` token ids.
            mask: `[rows, width]` attention mask.

        Returns:
            `[rows, width]` running number of each token's word in its row (special tokens and
            padding count as words of their own), and whether the token may be edited: all but
            special tokens and padding.
        """
        special = self.special[ids] | (mask == 0)
        after_special = F.pad(special[:, :-1], (1, 0), value=True)
        starts = special | after_special | ~self.continues[ids]
        return starts.cumsum(1) - 1, ~special

    def single(self, ids: Tensor, mask: Tensor) -> Tensor:
        """`[rows, width]` whether a token is a whole word, neither special nor padding.

        Args:
            ids: `[rows, width]` token ids.
            mask: `[rows, width]` attention mask.
        """
        words, editable = self.words(ids, mask)
        return editable & is_single(words)

    def draw(self, words: Tensor) -> Tensor:
        """`[rows, width]` uniform numbers from torch's generator, one and the same per word."""
        return torch.rand(words.shape, device=words.device).gather(1, words)


def is_single(words: Tensor) -> Tensor:
    """`[rows, width]` whether a word takes one place alone, from the running number of each."""
    parts = words[:, 1:] != words[:, :-1]
    return F.pad(parts, (1, 0), value=True) & F.pad(parts, (0, 1), value=True)


def _reads_words(tokenizer: Any) -> bool:
    plain = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
    return all(
        tokenizer([word, *_PROBES], is_split_into_words=True, **plain)["input_ids"]
        == tokenizer(" ".join([word, *_PROBES]), **plain)["input_ids"]
        for word in _PROBES
    )


def _lacks_sentencepiece(reason: str) -> bool:
    """Whether a tokenizer failed for want of what reads SentencePiece models.

    transformers then tries tiktoken, and asks for that.
    """
    named = any(name in reason for name in ("sentencepiece", "protobuf", "tiktoken"))
    parents = ("sentencepiece", "google")
    here = all(map(find_spec, parents)) and find_spec("google.protobuf") is not None
    return named and not here
