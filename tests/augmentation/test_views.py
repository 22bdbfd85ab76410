"""The student's edited view of a batch, and the objectives that show it one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from nlp_adapt.augmentation.views import EditedView
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
)
from tests.helpers.word_grids import WORD, batch_of, ids_of


def token_rows(*texts: str) -> tuple[np.ndarray, np.ndarray]:
    rows = pack_rows(make_tokenizer()(list(texts))["input_ids"])
    return rows.ids, rows.offsets


def view_of(edit: str, rate: float, *source: str, **options: Any) -> EditedView:
    """A view of batches of the tiny tokenizer; the target's text is about phones."""
    target = ["the phone is good"] * 60 + ["the screen was good"] * 60
    tokens = {"source": token_rows(*source), "target": token_rows(*target)} if source else {}
    return EditedView(edit, rate, tokenizer=make_tokenizer(), tokens=tokens, **options)


@pytest.mark.parametrize("edit", ["delete", "mask", "replace", "swap"])
def test_views_keep_shape_specials_padding_and_units(edit: str) -> None:
    torch.manual_seed(0)
    batch = make_batch(token_level=True, source=40, target=40)
    kept = {name: value.clone() for name, value in batch.items() if torch.is_tensor(value)}
    edited = view_of(edit, 0.5)(batch)
    for name, value in kept.items():
        assert torch.equal(batch[name], value)  # the batch itself is left alone
        if name not in ("input_ids", "attention_mask"):
            assert edited[name] is batch[name]
    ids, mask = batch["input_ids"], batch["attention_mask"]
    new, new_mask = edited["input_ids"], edited["attention_mask"]
    special = (ids <= 4) & (ids != 1)
    assert torch.equal(new[special], ids[special])
    assert torch.equal(new_mask[special], mask[special])
    changed = (new != ids) | (new_mask != mask)
    assert 0.2 < changed.sum() / (~special).sum() < 0.8
    if edit == "mask":
        assert (new[changed] == 4).all()
    elif edit == "delete":
        assert torch.equal(new, ids)
        assert ((new_mask * ~special).sum(1) > 0).all()
    elif edit == "replace":
        assert (new[changed] > 4).all()
    else:
        assert torch.equal(new.sort(1).values, ids.sort(1).values)


def test_draws_of_a_view_come_from_torchs_generator() -> None:
    view, batch = view_of("mask", 0.5), make_batch()
    seen = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        seen.append(view(batch)["input_ids"])
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


def test_terms_of_the_target_become_the_nearest_of_the_source() -> None:
    embeddings = torch.zeros(len(VOCABULARY), 4)
    places = {"film": (1.0, 0.0), "phone": (0.9, 0.1), "plot": (0.0, 1.0), "screen": (0.1, 0.9)}
    for word, place in places.items():
        embeddings[WORD[word], :2] = torch.tensor(place)
    model = make_model()
    model.get_input_embeddings().weight.data = embeddings
    source = ["the film is good"] * 60 + ["the plot was good"] * 60
    view = view_of("domain_terms", 0.999, *source, task_model=model)
    batch = batch_of("the phone ##s screen [MASK] phone", times=300)
    new = view(batch)["input_ids"]
    assert torch.equal(new[:, [0, 1, 2, 3, 5, 7]], batch["input_ids"][:, [0, 1, 2, 3, 5, 7]])
    for place, word in ((4, "plot"), (6, "film")):
        assert (new[:, place] == WORD[word]).float().mean() > 0.9


def test_infill_leaves_the_most_frequent_words_of_both_domains(encoder_dir: Any) -> None:
    task_model = make_model()
    task_model.config._name_or_path = str(encoder_dir / "mlm")
    view = view_of("infill", 0.999, *["a film"] * 200, task_model=task_model)
    common = [VOCABULARY[i] for i in (~view.edit.rewritable).nonzero().flatten().tolist() if i > 4]
    assert common == ["film", "a", "##s", "##ly", "##ness"]
    new = view(batch_of("a film plot"))["input_ids"][0]
    assert new[1:3].tolist() == [WORD["a"], WORD["film"]]
    assert new[3] not in (WORD["plot"], WORD["a"], WORD["film"])


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
        objective.editor.edit.term[5:] = 0
        objective.editor.edit.table = torch.full((1, 1), WORD["good"])
        objective.editor.edit.weights = torch.ones(1, 1)
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
    found = objective.editor.edit._model[0].logits(ids, torch.ones_like(ids), torch.tensor([2]))[0]
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
        ({"edit": "translate"}, "must be one of none, delete, mask, replace, swap, infill"),
    ],
)
def test_bad_options_say_what_to_do(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_objective("consistency", options, setup_for())


def test_terms_need_the_text_of_both_domains() -> None:
    with pytest.raises(ConfigError, match="both domains"):
        build_objective("consistency", {"edit": "domain_terms"}, make_setup(make_model()))


def test_bfloat16_autocast_and_empty_targets(encoder_dir: Any) -> None:
    setup = setup_for(encoder_dir / "encoder")
    objective = build_objective("consistency", {"edit": "infill"}, setup)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = objective(make_view(setup.task_model, make_batch()))["consistency"]
    assert value.dtype == torch.float32
    assert value > 0
    empty = objective(make_view(setup.task_model, make_batch(target=0)))["consistency"]
    assert empty.item() == 0.0
