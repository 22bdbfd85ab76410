"""The student's view: infill and domain terms on token ids, and the objectives that use them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from nlp_adapt.augmentation.infill import whole_words
from nlp_adapt.augmentation.token_fills import TokenInfiller, TokenTermSwapper
from nlp_adapt.augmentation.view_edits import VIEW_EDITS, view_editor
from nlp_adapt.config import ROW_EDITS
from nlp_adapt.data.batches.encoded import pack_rows
from nlp_adapt.errors import ConfigError, ModelError
from nlp_adapt.objectives import build_objective
from nlp_adapt.objectives.base import Setup
from nlp_adapt.objectives.views import select_side
from nlp_adapt.training.saving.continuing import continue_objective, lasting_state
from tests.helpers.tiny_batches import (
    SIZES,
    VOCABULARY,
    make_batch,
    make_model,
    make_rows,
    make_setup,
    make_tokenizer,
    make_view,
    model_that_expects,
)

WORD = {token: index for index, token in enumerate(VOCABULARY)}


def ids_of(*rows: str) -> torch.Tensor:
    return torch.tensor([[2, *(WORD[token] for token in row.split()), 3] for row in rows])


def batch_of(*rows: str, times: int = 1) -> dict[str, Any]:
    ids = ids_of(*rows).repeat(times, 1)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids[:, 0]}


def token_rows(*texts: str) -> tuple[np.ndarray, np.ndarray]:
    rows = pack_rows(make_tokenizer()(list(texts))["input_ids"])
    return rows.ids, rows.offsets


def test_infill_rewrites_whole_words_alone_and_never_by_themselves() -> None:
    torch.manual_seed(0)
    editor = TokenInfiller(make_tokenizer(), model_that_expects("phone", "screen"), 0.5, top_k=2)
    batch = batch_of("the film ##s was phone", times=400)
    edited = editor(batch)
    assert edited["labels"] is batch["labels"]
    new, old = edited["input_ids"], batch["input_ids"]
    assert torch.equal(new[:, [0, 2, 3, 6]], old[:, [0, 2, 3, 6]])
    words = new[:, [1, 4, 5]]
    changed = words != old[:, [1, 4, 5]]
    assert changed.float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert set(words[changed].tolist()) == {WORD["phone"], WORD["screen"]}
    assert set(new[:, 5].tolist()) == {WORD["phone"], WORD["screen"]}  # its own place: screen
    torch.manual_seed(0)
    again = editor(batch)["input_ids"]
    torch.manual_seed(0)
    assert torch.equal(again, editor(batch)["input_ids"])


def test_the_most_frequent_words_are_left_alone() -> None:
    texts = [token_rows("the the is is film good bad fine dull"), token_rows("...")]
    model = model_that_expects("the", "is", "phone")
    editor = TokenInfiller(make_tokenizer(), model, 0.999, top_k=1, texts=texts)
    torch.manual_seed(0)
    new = editor(batch_of("the film is good"))["input_ids"]
    assert torch.equal(new, ids_of("the phone is phone"))


def test_infill_reads_the_words_around_from_the_masked_row() -> None:
    model = model_that_expects()
    torch.nn.init.normal_(model.head.dense.weight, std=0.5)
    editor = TokenInfiller(make_tokenizer(), model, 0.999, top_k=1)
    batch = batch_of("film ##s good")
    torch.manual_seed(0)
    new = editor(batch)["input_ids"][0, 3]
    masked = ids_of("film ##s [MASK]")
    logits = model.logits(masked, torch.ones_like(masked), torch.tensor([3]))[0]
    words = whole_words(make_tokenizer(), len(VOCABULARY))
    assert new == max((i for i in words if i != WORD["good"]), key=lambda i: logits[i])


def test_specials_padding_and_untouched_batches_stay() -> None:
    editor = TokenInfiller(make_tokenizer(), model_that_expects("phone"), 0.999)
    ids = torch.tensor([[2, 3, 0], [2, WORD["film"], 3]])
    batch = {"input_ids": ids, "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]])}
    edited = editor(batch)["input_ids"]
    assert torch.equal(edited[0], ids[0])
    assert edited[1, 1] == WORD["phone"]
    nothing = batch_of("film ##s")
    assert editor(nothing) is nothing


def test_the_language_model_follows_to_another_format_but_is_not_saved() -> None:
    editor = TokenInfiller(make_tokenizer(), model_that_expects("phone"), 0.5)
    assert {name.split(".")[0] for name in editor.state_dict()} == {"head"}
    assert not any("encoder" in name for name, _ in editor.named_parameters())
    editor.double()
    assert next(editor._model[0].encoder.parameters()).dtype == torch.float64
    assert not editor.train().training


def swapper(rate: float = 0.999) -> TokenTermSwapper:
    embeddings = torch.zeros(len(VOCABULARY), 4)
    places = {"film": (1.0, 0.0), "phone": (0.9, 0.1), "plot": (0.0, 1.0), "screen": (0.1, 0.9)}
    for word, place in places.items():
        embeddings[WORD[word], :2] = torch.tensor(place)
    embeddings[WORD["battery"]] = torch.tensor([0.0, 0.0, 0.0, -1.0])
    target = ["the phone is good"] * 60 + ["the screen was good"] * 60 + ["battery"] * 50
    source = ["the film is good"] * 60 + ["the plot was good"] * 60 + ["films"] * 50
    return TokenTermSwapper(
        make_tokenizer(), token_rows(*target), token_rows(*source), embeddings, rate
    )


def test_terms_of_the_target_become_the_nearest_of_the_source() -> None:
    editor = swapper()
    batch = batch_of("the phone good screen battery", times=300)
    torch.manual_seed(0)
    new = editor(batch)["input_ids"]
    assert torch.equal(new[:, [0, 1, 3, 6]], batch["input_ids"][:, [0, 1, 3, 6]])
    for place, word in ((2, "film"), (4, "plot")):
        assert (new[:, place] == WORD[word]).float().mean() > 0.9
    assert (new[:, 5] == WORD["battery"]).all()  # nothing is like it
    torch.manual_seed(0)
    half = swapper(0.5)(batch)["input_ids"][:, 2]
    assert (half != WORD["phone"]).float().mean().item() == pytest.approx(0.5, abs=0.08)


def test_a_term_with_further_pieces_is_another_word() -> None:
    new = swapper()(batch_of("phone ##s phone"))["input_ids"][0]
    assert new.tolist()[1:3] == [WORD["phone"], WORD["##s"]]
    assert new[3] != WORD["phone"]


def test_corpora_without_terms_leave_everything() -> None:
    rows = token_rows("the film is good")
    same = TokenTermSwapper(make_tokenizer(), rows, rows, torch.randn(len(VOCABULARY), 4), 0.9)
    batch = batch_of("the film is good")
    assert same(batch) is batch
    empty = TokenTermSwapper(make_tokenizer(), token_rows("..."), rows, torch.randn(30, 4), 0.9)
    assert empty(batch) is batch


def test_rows_and_views_know_the_same_edits() -> None:
    assert set(VIEW_EDITS) == set(ROW_EDITS)


def setup_for(tiny_model_dir: Any = None, token_level: bool = False) -> Setup:
    """A setup with text of both domains; with a folder, a model that was loaded from it."""
    setup = make_setup(make_model(token_level=token_level, dropout=0.0), token_level)
    if tiny_model_dir is not None:
        setup.task_model.config._name_or_path = str(tiny_model_dir)
    tokens = {}
    for domain, side in enumerate(("source", "target")):
        rows = make_rows(token_level, rows=40, domain=domain)
        tokens[side] = (rows.ids, rows.offsets)
    return Setup(**{**vars(setup), "tokens": tokens})


@pytest.fixture
def encoder_dir(tmp_path: Any) -> Any:
    """An encoder without a head, with the vocabulary of the tiny tokenizer."""
    config = transformers.BertConfig(vocab_size=len(VOCABULARY), **SIZES)
    torch.manual_seed(1)
    transformers.BertModel(config).save_pretrained(tmp_path / "encoder")
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path / "mlm")
    for name in ("encoder", "mlm"):
        make_tokenizer().save_pretrained(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", ["self_training", "consistency"])
@pytest.mark.parametrize("token_level", [False, True])
@pytest.mark.parametrize("edit", ["infill", "domain_terms"])
def test_the_student_sees_the_edit_and_the_teacher_the_clean_text(
    name: str, token_level: bool, edit: str, encoder_dir: Any
) -> None:
    setup = setup_for(encoder_dir / "encoder", token_level)
    options = {"edit": edit, "edit_rate": 0.6, "ramp": 0.0}
    objective = build_objective(name, options, setup)
    if edit == "domain_terms":  # the random rows are too few to have any
        objective.editor.place[5:] = 0
        objective.editor.substitutes = torch.full((1, 1), WORD["good"])
        objective.editor.weights = torch.ones(1, 1)
    batch = make_batch(token_level)
    seen, clean_seen = [], []
    view = make_view(setup.task_model, batch)
    encode, teach = view.encode, objective.teacher.forward
    view.encode = lambda inputs: seen.append(inputs) or encode(inputs)
    objective.teacher.forward = lambda inputs: clean_seen.append(inputs) or teach(inputs)
    torch.manual_seed(0)
    objective(view)[name].backward()
    (edited,), (clean,) = seen, clean_seen
    assert torch.equal(clean["input_ids"], select_side(batch, "target")["input_ids"])
    assert not torch.equal(edited["input_ids"], clean["input_ids"])
    assert torch.equal(edited["attention_mask"], clean["attention_mask"])
    for key in ("unit_rows", "unit_positions", "labels"):
        assert key not in clean or torch.equal(edited[key], clean[key])


@pytest.mark.parametrize("edit", ["infill", "domain_terms"])
def test_a_state_dict_restores_the_edits_but_another_run_makes_its_own(
    edit: str, encoder_dir: Any
) -> None:
    setup = setup_for(encoder_dir / "encoder")
    first = build_objective("consistency", {"edit": edit}, setup)
    with torch.no_grad():
        for value in first.state_dict().values():
            value.add_(1)
    second = build_objective("consistency", {"edit": edit}, setup)
    second.load_state_dict(first.state_dict())
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert not any(name.startswith("editor") for name in lasting_state(first))
    third = build_objective("consistency", {"edit": edit}, setup)
    before = {key: value.clone() for key, value in third.editor.state_dict().items()}
    continue_objective(third, first.state_dict())
    for key, value in third.editor.state_dict().items():
        assert torch.equal(before[key], value)


def test_a_named_language_model_fills_in_if_it_shares_the_vocabulary(
    encoder_dir: Any, tiny_model_dir: Any
) -> None:
    options = {"edit": "infill", "edit_model": str(encoder_dir / "mlm")}
    objective = build_objective("consistency", options, setup_for())
    whole = transformers.BertForMaskedLM.from_pretrained(encoder_dir / "mlm").eval()
    ids = ids_of("the [MASK] is good")
    with torch.no_grad():
        expected = whole(input_ids=ids).logits[0, 2]
    found = objective.editor._model[0].logits(ids, torch.ones_like(ids), torch.tensor([2]))[0]
    torch.testing.assert_close(found, expected)
    with pytest.raises(ModelError, match="another vocabulary"):
        build_objective(
            "consistency", {"edit": "infill", "edit_model": str(tiny_model_dir)}, setup_for()
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"edit": "infill"}, "not loaded from a name or folder"),
        ({"edit": "mask", "edit_model": "x"}, "edit_model is there for edit infill"),
        ({"edit": "none", "edit_model": "x"}, "edit_model is there for edit infill"),
        ({"edit": "translate"}, "must be one of none, mask"),
    ],
)
def test_bad_options_say_what_to_do(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_objective("consistency", options, setup_for())


def test_terms_need_the_text_of_both_domains() -> None:
    with pytest.raises(ConfigError, match="both domains"):
        build_objective("consistency", {"edit": "domain_terms"}, make_setup(make_model()))
    with pytest.raises(ConfigError, match="must be one of mask"):
        view_editor("fly", 0.1, tokenizer=make_tokenizer(), task_model=make_model(), tokens={})


def test_bfloat16_autocast_and_empty_targets(encoder_dir: Any) -> None:
    setup = setup_for(encoder_dir / "encoder")
    objective = build_objective("consistency", {"edit": "infill"}, setup)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = objective(make_view(setup.task_model, make_batch()))["consistency"]
    assert value.dtype == torch.float32
    assert value > 0
    empty = objective(make_view(setup.task_model, make_batch(target=0)))["consistency"]
    assert empty.item() == 0.0
