"""Edits of a grid of words: which words they choose, and what they leave as it is."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
import torch

from nlp_adapt.augmentation import edits
from nlp_adapt.augmentation.edits import Choice, WordEdit, Words
from nlp_adapt.errors import ConfigError
from tests.helpers.tiny_batches import make_tokenizer
from tests.helpers.word_grids import WORD, grid, ids_of, tokens_as_words

PLAIN: dict[str, WordEdit] = {
    "delete": edits.delete,
    "mask": partial(edits.mask, mask_id=4),
    "replace": edits.substitute,
    "swap": edits.swap,
}


def seeded(seed: int, rate: float, at_least_one: bool = False) -> Choice:
    return Choice(rate, at_least_one, torch.Generator().manual_seed(seed))


def differs(before: Words, after: Words) -> torch.Tensor:
    return (before.ids != after.ids) | (before.mask != after.mask)


@pytest.mark.parametrize("kind", PLAIN)
def test_edits_change_a_share_of_the_words_in_a_copy(kind: str) -> None:
    rows = ["film plot actor good bad fine dull phone screen battery cheap solid"] * 400
    before = grid(*rows, fixed="actor dull")
    kept = {name: value.clone() for name, value in vars(before).items()}
    after = PLAIN[kind](before, seeded(0, 0.3))
    for name, value in kept.items():
        assert torch.equal(getattr(before, name), value)
    changed = differs(before, after)
    assert not changed[~before.editable].any()
    share = changed[before.editable].float().mean().item()
    low, high = {"replace": (0.24, 0.3), "swap": (0.2, 0.5)}.get(kind, (0.27, 0.33))
    assert low < share < high
    if kind == "mask":
        assert (after.ids[changed] == 4).all()
    elif kind == "delete":
        assert torch.equal(after.ids, before.ids)
    elif kind == "replace":
        assert not torch.isin(after.ids[changed], torch.tensor([WORD["actor"], WORD["dull"]])).any()
    else:
        assert torch.equal(after.ids, before.ids.gather(1, after.word))
        assert torch.equal(after.ids.sort(1).values, before.ids.sort(1).values)


def test_draws_come_from_the_generator_or_from_torch() -> None:
    before = grid(*["film plot actor good bad fine"] * 20)
    for edit in PLAIN.values():
        one, same, other = (edit(before, seeded(seed, 0.5)) for seed in (1, 1, 2))
        assert not differs(one, same).any()
        assert differs(one, other).any()
        torch.manual_seed(1)
        state = torch.get_rng_state()
        edit(before, seeded(3, 0.5))
        assert torch.equal(state, torch.get_rng_state())
        assert not differs(edit(before, Choice(0.5)), one).any()


def test_the_tokens_of_a_word_are_edited_together() -> None:
    before = tokens_as_words("good ##ness film ##s fine ##ly", times=200)
    for kind in ("mask", "delete"):
        changed = differs(before, PLAIN[kind](before, seeded(0, 0.5)))
        for first in (1, 3, 5):
            assert torch.equal(changed[:, first], changed[:, first + 1])
    after = edits.swap(before, seeded(0, 0.5)).ids
    orders = Counter(tuple(line.tolist()) for line in after)
    row = before.ids[0].tolist()
    pairs = {tuple(row[first : first + 2]) for first in (1, 3, 5)}
    assert len(orders) == 3
    for line in orders:
        assert {line[first : first + 2] for first in (1, 3, 5)} == pairs
        assert (line[0], line[-1]) == (row[0], row[-1])


def test_rate_zero_is_the_identity_and_rows_without_words_survive() -> None:
    before = grid("film plot actor", "good bad fine", fixed="good bad fine")
    for edit in PLAIN.values():
        assert not differs(before, edit(before, Choice(0.0))).any()
        assert not differs(before, edit(before, Choice(1.0, at_least_one=True)))[1].any()
        nothing = grid("film film", fixed="film")
        assert not differs(nothing, edit(nothing, Choice(1.0))).any()


def test_at_least_one_word_of_a_row_is_edited_if_asked() -> None:
    before = grid(*["good film dull plot"] * 50, fixed="dull plot")
    pool = torch.tensor([WORD["phone"]])
    for edit in {**PLAIN, "replace": partial(edits.substitute, pool=pool)}.values():
        changed = differs(before, edit(before, seeded(0, 0.01, at_least_one=True)))
        assert changed.any(1).all()
        assert changed[:, 0].any()
        assert not changed[:, 2:].any()
        assert not differs(before, edit(before, seeded(0, 0.01))).any(1).all()


def test_never_all_words_of_a_row_are_deleted() -> None:
    before = grid("film plot dull", "good dull dull", fixed="dull")
    after = edits.delete(before, Choice(1.0, at_least_one=True))
    assert torch.equal(after.mask, before.mask)


def test_swaps_need_two_neighbours_that_may_move() -> None:
    before = grid("film dull plot good", fixed="dull")
    for seed in range(20):
        after = edits.swap(before, seeded(seed, 0.9, at_least_one=True))
        assert torch.equal(after.ids, grid("film dull good plot").ids)
        assert after.word.tolist() == [[0, 1, 3, 2]]


def test_replacements_follow_the_frequencies_of_the_grid_or_of_a_pool() -> None:
    before = grid(*["film film film plot"] * 2000)
    after = edits.substitute(before, seeded(0, 1.0))
    assert (after.ids == WORD["film"]).float().mean().item() == pytest.approx(0.75, abs=0.03)
    pool = torch.tensor([WORD["phone"], WORD["phone"], WORD["phone"], WORD["screen"]])
    after = edits.substitute(before, seeded(0, 1.0), pool)
    assert (after.ids == WORD["phone"]).float().mean().item() == pytest.approx(0.75, abs=0.03)
    assert set(after.ids.unique().tolist()) == {WORD["phone"], WORD["screen"]}


def test_a_word_of_a_single_token() -> None:
    words = tokens_as_words("film ##s good")
    assert words.ids.tolist() == ids_of("film ##s good").tolist()
    assert words.single.tolist() == [[False, False, False, True, False]]


def test_a_tokenizer_without_a_mask_token_is_refused() -> None:
    tokenizer: Any = make_tokenizer()
    assert edits.mask_token_of(tokenizer, "mask") == 4
    tokenizer.mask_token = None
    with pytest.raises(ConfigError, match="edit 'infill': the tokenizer has no mask token"):
        edits.mask_token_of(tokenizer, "infill")
