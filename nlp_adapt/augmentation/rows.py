"""Edited copies of labelled rows.

Labels stay with their words. In tagging only words outside of entities are edited, and only by words
that the labelled rows never show inside of one: the tags stay true.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from nlp_adapt.augmentation import edits
from nlp_adapt.augmentation.infill import Infill, whole_words
from nlp_adapt.augmentation.terms import TermSwap
from nlp_adapt.augmentation.texts import (
    WordedText,
    entity_words,
    running_words,
    same_case,
    texts_of,
)
from nlp_adapt.errors import ConfigError
from nlp_adapt.escaping import for_bars
from nlp_adapt.modeling.architectures import longest_input
from nlp_adapt.modeling.masked_lm import MaskedLanguageModel

ROWS_AT_ONCE = 32


class RowEditor:
    """Makes edited copies of rows, with at least one word edited where one may be.

    Args:
        rate: Share of words that are edited; with `domain_terms`, of the source's terms.
        labelled: Data sets of labelled rows in canonical columns, which it learns from and edits.
        unlabelled: Those of the target, for `domain_terms`.
        tokenizer: The encoder's; for `infill`, the language model's.
        embeddings: `[vocabulary, size]` input embeddings, for `domain_terms`.
        max_length: Longest text in tokens, for `infill`. Words beyond it stay as they are.
    """

    def __init__(
        self,
        kind: str,
        rate: float,
        labelled: Sequence[Any],
        unlabelled: Sequence[Any] = (),
        *,
        tokenizer: Any = None,
        embeddings: Tensor | None = None,
        language_model: MaskedLanguageModel | None = None,
        max_length: int = 128,
    ) -> None:
        self.rate = rate
        self.labelled = labelled
        self.texts = texts_of(labelled)
        self.tagging = "tokens" in labelled[0].column_names
        self.entity_words = entity_words(self.texts)
        self.tokenizer = tokenizer
        self.device = torch.device("cpu")
        words = (word for text in self.texts for word in text.words)
        self.ids = {word: number for number, word in enumerate(dict.fromkeys(words))}
        self.edit: edits.WordEdit
        if kind == "infill":
            assert language_model is not None
            self.device = next(language_model.encoder.parameters()).device
            longest = longest_input(language_model.encoder.config, tokenizer)
            self.max_length = min(max_length, longest)
            self.lay_out = self._token_grid
            self.words = whole_words(tokenizer, language_model.size)
            self.edit = self._infill(language_model)
        else:
            self.lay_out = self._word_grid
            self.edit = self._word_edit(kind, unlabelled, embeddings)
            self.words = {number: word for word, number in self.ids.items()}

    def _infill(self, model: MaskedLanguageModel) -> Infill:
        counts = Counter(running_words(self.texts))
        allowed = None
        if self.tagging:
            allowed = {word.casefold() for word in running_words(self.texts, self.entity_words)}
        return Infill(model, self.tokenizer, self.words, counts, allowed).to(self.device)

    def _word_edit(
        self, kind: str, unlabelled: Sequence[Any], embeddings: Tensor | None
    ) -> edits.WordEdit:
        if kind == "domain_terms":
            if not unlabelled:
                raise ConfigError("domain_terms needs a target domain: set `target`.")
            assert embeddings is not None
            own, other = self._terms(self.texts), self._terms(texts_of(unlabelled))
            for word in other:
                self.ids.setdefault(word, len(self.ids))
            fold_case = not self.tagging
            return TermSwap(own, other, self.ids, self.tokenizer, embeddings, fold_case)
        if kind == "mask":
            edits.mask_token_of(self.tokenizer, kind)
            mask_id = self.ids.setdefault(self.tokenizer.mask_token, len(self.ids))
            return partial(edits.mask, mask_id=mask_id)
        if kind == "replace":
            pool = [self.ids[word] for word in running_words(self.texts, self.entity_words)]
            if not pool:
                raise ConfigError("edit 'replace' needs rows with words that may be drawn.")
            return partial(edits.substitute, pool=torch.tensor(pool))
        return edits.PLAIN[kind]

    def _terms(self, texts: Sequence[WordedText]) -> Counter[str]:
        """Counts of the words that may be a term of the domain.

        In tagging only those in small letters: others may be names, which must not come in outside
        of entities.
        """
        if self.tagging:
            return Counter(filter(str.islower, running_words(texts, self.entity_words)))
        return Counter(word.casefold() for word in running_words(texts))

    def copies(
        self, number: int, seed: Sequence[int], show_progress: bool = False
    ) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """`number` edited copies of every row, without those that came out unchanged.

        A higher number adds copies and leaves the first ones as they are.

        Returns:
            Rows in canonical columns, with names for labels and the index of their data set under
            `source`; and how many were left out (`unchanged`), how many words of the others' originals
            might be edited (`words`), and how many were (`edited`).
        """
        text_column, label_column = ("tokens", "labels") if self.tagging else ("text", "label")
        feature = self.labelled[0].features[label_column]
        names = getattr(feature, "feature", feature)
        rows = [
            (source, *row)
            for source, dataset in enumerate(self.labelled)
            for row in zip(dataset["row"][:], dataset[label_column][:], strict=True)
        ]
        made, counts = [], Counter[str]()
        for copy in range(1, number + 1):
            edited = self.edited_words((*seed, copy), show_progress)
            for (source, place, labels), text, pair in zip(rows, self.texts, edited, strict=True):
                words, positions = pair
                if words == text.words:
                    counts["unchanged"] += 1
                    continue
                if self.tagging:
                    labels = [labels[position] for position in positions]
                made.append({
                    "source": source,
                    text_column: words if self.tagging else text.join(words, positions),
                    "row": f"{place}, copy {copy}",
                    label_column: names.int2str(labels),
                })  # fmt: skip
                counts["words"] += int(text.editable.sum())
                changed = sum(one != other for one, other in zip(text.words, words, strict=False))
                counts["edited"] += len(text.words) - len(words) or changed
        return made, counts

    def edited_words(
        self, seed: Sequence[int], show_progress: bool = False
    ) -> list[tuple[list[str], list[int]]]:
        """Each row's new words, and the position of the word that each stands for.

        Labels of the new words are `[labels[i] for i in positions]`.
        """
        (state,) = np.random.SeedSequence(seed).generate_state(1, np.uint64)
        generator = torch.Generator(self.device).manual_seed(int(state))
        choice = edits.Choice(self.rate, at_least_one=True, generator=generator)
        texts = self.texts
        made = [(text.words, list(range(len(text.words)))) for text in texts]
        order = [index for index, text in enumerate(texts) if text.editable.any()]
        order.sort(key=lambda index: len(texts[index].words))
        starts = range(0, len(order), ROWS_AT_ONCE)
        hidden = not show_progress
        for start in tqdm(starts, "augment", file=for_bars(), disable=hidden, leave=False):
            chosen = order[start : start + ROWS_AT_ONCE]
            edited = self._edited([texts[index] for index in chosen], choice)
            for index, copy in zip(chosen, edited, strict=True):
                made[index] = copy
        return made

    def _edited(
        self, texts: list[WordedText], choice: edits.Choice
    ) -> Iterator[tuple[list[str], list[int]]]:
        before, positions = self.lay_out(texts)
        after = self.edit(before, choice)
        # Words take one place each, so that a word's number is the place where it stood.
        old = positions.gather(1, after.word)
        is_new = after.ids != before.ids.gather(1, after.word)
        gone = after.mask < before.mask
        changed = (positions >= 0) & (is_new | gone | (old != positions))
        made = [(list(text.words), list(range(len(text.words)))) for text in texts]
        columns = (grid[changed].tolist() for grid in (positions, old, is_new, gone, after.ids))
        rows = changed.nonzero()[:, 0].tolist()
        for row, position, origin, new, deleted, index in zip(rows, *columns, strict=True):
            words, origins = made[row]
            word = texts[row].words[origin]
            words[position] = same_case(self.words[index], word) if new else word
            origins[position] = -1 if deleted else origin
        for words, origins in made:
            left = [position for position, origin in enumerate(origins) if origin >= 0]
            yield [words[position] for position in left], [origins[position] for position in left]

    def _word_grid(self, texts: list[WordedText]) -> tuple[edits.Words, Tensor]:
        """Words by number; and the position of each place's word in its text, or -1."""
        rows = [torch.tensor([self.ids[word] for word in text.words]) for text in texts]
        ids = pad_sequence(rows, batch_first=True)
        editable = pad_sequence(
            [torch.from_numpy(text.editable) for text in texts], batch_first=True
        )
        places = torch.arange(ids.shape[1]).expand_as(ids)
        mask = places < torch.tensor([[len(text.words)] for text in texts])
        return edits.Words(ids, mask.long(), places, editable), places.where(mask, -1)

    def _token_grid(self, texts: list[WordedText]) -> tuple[edits.Words, Tensor]:
        """Tokens; and the position of the word that a place is, or -1 unless it may be edited."""
        encoded = self.tokenizer(
            [text.join(text.words, range(len(text.words))) for text in texts],
            padding=True, truncation=True, max_length=self.max_length, return_tensors="pt",
            return_offsets_mapping=True, return_token_type_ids=False,
        ).to(self.device)  # fmt: skip
        found = []
        for text, spans in zip(texts, encoded["offset_mapping"].tolist(), strict=True):
            parts = (part for pair in zip(text.gaps, text.words, strict=False) for part in pair)
            edges = list(accumulate(map(len, parts), initial=0))
            at = {(edges[2 * i + 1], edges[2 * i + 2]): i for i in np.flatnonzero(text.editable)}
            # A token may begin with the space before its word.
            found.append([at.get((a, b), at.get((a + 1, b), -1)) for a, b in spans])
        ids, positions = encoded["input_ids"], torch.tensor(found, device=self.device)
        places = torch.arange(ids.shape[1], device=self.device).expand_as(ids)
        return edits.Words(ids, encoded["attention_mask"], places, positions >= 0), positions
