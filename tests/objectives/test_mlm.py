"""Masked-language modelling: masking, head, loss, and the domain-distinguish stage beside it."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers

from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.mlm_head import fresh_mlm_head, own_mlm_head, token_counts
from nlp_adapt.modeling.tokenizers import WordPieces
from nlp_adapt.objectives import build_objective
from nlp_adapt.objectives.mlm import mask_tokens
from nlp_adapt.objectives.views import select_side
from tests.helpers.tiny_batches import (
    SIZES,
    VOCABULARY,
    make_batch,
    make_model,
    make_setup,
    make_tokenizer,
    make_view,
)

VOCAB = len(VOCABULARY)


def test_whole_words_are_grouped_in_wordpiece_and_byte_level_vocabularies():
    pieces = WordPieces(make_tokenizer())
    index = {token: i for i, token in enumerate(VOCABULARY)}
    row = [index[t] for t in ("[CLS]", "good", "##ness", "film", "##s", "[SEP]", "[PAD]")]
    words, editable = pieces.words(torch.tensor([row]), torch.tensor([[1] * 6 + [0]]))
    assert words.tolist() == [[0, 1, 1, 2, 2, 3, 4]]
    assert editable.tolist() == [[False, True, True, True, True, False, False]]

    class ByteLevel:
        all_special_ids = (0, 1)
        vocabulary = ("<s>", "</s>", "Ġgood", "ness", "Ġfilm", ".", "The")

        def get_vocab(self) -> dict[str, int]:
            return {token: i for i, token in enumerate(self.vocabulary)}

    ids = torch.tensor([[0, 6, 3, 2, 3, 5, 4, 1]])  # <s> The ness Ġgood ness . Ġfilm </s>
    words, _ = WordPieces(ByteLevel()).words(ids, torch.ones_like(ids))
    assert words.tolist() == [[0, 1, 1, 2, 2, 3, 4, 5]]


@pytest.mark.parametrize("whole_words", [True, False])
def test_masking_follows_80_10_10_and_spares_specials(whole_words):
    torch.manual_seed(0)
    pieces = WordPieces(make_tokenizer())
    ids = torch.randint(5, VOCAB, (400, 40))
    ids[:, 0], ids[:, 30], ids[:, 31:], ids[:, 7] = 2, 3, 0, 1
    mask = (torch.arange(40) < 31).long().expand(400, 40)
    corrupted, chosen = mask_tokens(ids, mask, pieces, 4, 0.15, whole_words)
    editable = (ids > 4) & (mask == 1)
    assert not (chosen & ~editable).any()
    assert torch.equal(corrupted[~chosen], ids[~chosen])
    assert chosen.sum() / editable.sum() == pytest.approx(0.15, abs=0.02)
    masked = corrupted[chosen] == 4
    assert masked.float().mean() == pytest.approx(0.8, abs=0.04)
    kept = (corrupted[chosen] == ids[chosen]).float().mean()
    assert kept == pytest.approx(0.1 + 0.1 / (VOCAB - 5), abs=0.03)
    assert not torch.isin(corrupted[chosen][~masked], torch.arange(5)).any()
    if whole_words:
        words, _ = pieces.words(ids, mask)
        same = (words[:, 1:] == words[:, :-1]) & editable[:, 1:]
        assert torch.equal(chosen[:, 1:][same], chosen[:, :-1][same])


def config_of(kind: str) -> transformers.PreTrainedConfig:
    small = {"vocab_size": VOCAB, "pad_token_id": 0}
    if kind == "distilbert":
        own = {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 48}
    else:
        own = {**SIZES, "num_hidden_layers": 1}
    if kind in ("albert", "electra"):
        own["embedding_size"] = 16
    if kind == "modernbert":
        own |= {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    return transformers.AutoConfig.for_model(kind, **small, **own)


ENCODERS = ["bert", "roberta", "distilbert", "albert", "electra", "deberta", "deberta-v2", "mpnet",
            "modernbert"]  # fmt: skip


@pytest.mark.parametrize("kind", ENCODERS)
def test_the_checkpoints_own_head_gives_its_own_logits(kind, tmp_path):
    torch.manual_seed(0)
    whole = transformers.AutoModelForMaskedLM.from_config(config_of(kind)).eval()
    torch.nn.init.normal_(whole.get_output_embeddings().bias)
    whole.save_pretrained(tmp_path)
    task_model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    head = own_mlm_head(task_model)
    ids = torch.randint(5, VOCAB, (2, 9))
    with torch.no_grad():
        hidden = task_model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
        logits = head(hidden[0], task_model.get_input_embeddings().weight)
        torch.testing.assert_close(logits, whole(input_ids=ids).logits[0], rtol=1e-4, atol=1e-4)
    assert head.decoder is None


def test_a_checkpoint_without_head_gets_a_fresh_one_that_projects_to_the_embeddings(tmp_path):
    config = config_of("electra")
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(tmp_path)
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert own_mlm_head(loaded) is None
    head = fresh_mlm_head(loaded)
    assert (head.dense.in_features, head.dense.out_features) == (32, 16)
    assert torch.equal(head.bias, torch.zeros(VOCAB))


def test_a_new_head_knows_how_often_each_token_of_its_text_occurs():
    """Of the target alone, where that alone is read; special tokens are never masked."""
    model = make_model(dropout=0.0)
    target, offsets = np.array([2, 7, 7, 9, 3, 2, 7, 3]), np.array([0, 5, 8])
    tokens = {"target": (target, offsets), "source": (np.array([2, 8, 3]), np.array([0, 3]))}
    setup = dataclasses.replace(make_setup(model), tokens=tokens)
    objective = build_objective("mlm", {"domains": "target"}, setup)
    assert objective.begins_anew
    counts = torch.zeros(VOCAB)
    counts[7], counts[9] = 3, 1
    expected = (counts + 0.5) / (4 + 0.5 * VOCAB)
    torch.testing.assert_close(objective.head.bias.softmax(-1), expected)
    both = token_counts([*tokens.values()], objective.pieces.special, VOCAB)
    assert both.nonzero().flatten().tolist() == [7, 8, 9]


def test_an_untied_decoder_is_kept(tmp_path):
    config = config_of("bert")
    config.tie_word_embeddings = False
    whole = transformers.AutoModelForMaskedLM.from_config(config).eval()
    whole.save_pretrained(tmp_path)
    task_model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    head = own_mlm_head(task_model)
    assert head.decoder is not None
    assert torch.equal(head.decoder, whole.get_output_embeddings().weight)


@pytest.mark.parametrize("domains", ["both", "target", "source"])
@pytest.mark.parametrize("token_level", [False, True])
def test_loss_and_gradients_equal_a_rewrite_over_all_positions(domains, token_level):
    model = make_model(token_level=token_level, dropout=0.0)
    batch = make_batch(token_level)
    objective = build_objective("mlm", {"domains": domains, "mask_rate": 0.4}, make_setup(model))
    both = {"source", "target"}
    assert objective.sides(objective.config) == (both if domains == "both" else {domains})
    torch.manual_seed(3)
    terms = objective(make_view(model, batch))
    terms["mlm"].backward()
    gradient = model.get_input_embeddings().weight.grad.clone()
    model.zero_grad()

    part = batch if domains == "both" else select_side(batch, domains)
    torch.manual_seed(3)
    corrupted, chosen = mask_tokens(
        part["input_ids"], part["attention_mask"], objective.pieces, 4, 0.4, True
    )
    hidden = model.base_model(input_ids=corrupted, attention_mask=part["attention_mask"])[0]
    embeddings = model.get_input_embeddings().weight
    head = objective.head
    logits = head.norm(F.gelu(head.dense(hidden))) @ embeddings.T + head.bias
    means = []
    for rows in (range(4), range(4, 7)) if domains == "both" else (range(len(corrupted)),):
        losses = [
            -logits[row, column].log_softmax(-1)[part["input_ids"][row, column]]
            for row in rows
            for column in range(16)
            if chosen[row, column]
        ]
        assert losses
        means.append(torch.stack(losses).mean())
    expected = torch.stack(means).mean()
    expected.backward()
    torch.testing.assert_close(terms["mlm"], expected)
    torch.testing.assert_close(gradient, model.get_input_embeddings().weight.grad)


def test_sides_are_cut_out_of_a_batch_with_their_units():
    model = make_model(token_level=True).eval()
    batch = make_batch(token_level=True)
    view = make_view(model, batch)
    for side, whole in (("source", view.source), ("target", view.target)):
        cut = view.encode(select_side(batch, side))[side == "target"]
        torch.testing.assert_close(cut.logits, whole.logits, rtol=1e-4, atol=1e-5)
        assert torch.equal(cut.labels, whole.labels)
        assert cut.count == whole.count
    assert len(view.encode(select_side(batch, "source"))[1]) == 0


@pytest.mark.parametrize("name", ["mlm", "domain_distinguish"])
def test_stage_lowers_its_loss_without_touching_the_task_head(name):
    model = make_model(dropout=0.0)
    objective = build_objective(name, {}, make_setup(model))
    assert not objective.trains_task_head
    before = copy.deepcopy(model.classifier.state_dict())
    batch = make_batch(source=8, target=8)
    parameters = [*model.parameters(), *objective.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    torch.manual_seed(0)
    losses = []
    for _ in range(60):
        loss = objective(make_view(model, batch))[name]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.75 * sum(losses[:10])
    assert model.classifier.weight.grad is None
    torch.testing.assert_close(before, dict(model.classifier.state_dict()))


@pytest.mark.parametrize("name", ["mlm", "domain_distinguish"])
def test_no_parameter_outside_the_task_head_is_idle(name):
    model = make_model()
    objective = build_objective(name, {}, make_setup(model))
    objective(make_view(model, make_batch()))[name].backward()
    parameters = [*model.named_parameters(), *objective.named_parameters()]
    idle = [key for key, parameter in parameters if parameter.grad is None]
    assert idle == ["classifier.weight", "classifier.bias"]


@pytest.mark.parametrize("name", ["mlm", "domain_distinguish"])
@pytest.mark.parametrize(("source", "target"), [(4, 0), (0, 3)])
def test_empty_sides_are_zero_not_nan(name, source, target):
    model = make_model()
    objective = build_objective(name, {}, make_setup(model))
    terms = objective(make_view(model, make_batch(source=source, target=target)))
    terms[name].backward()
    assert torch.isfinite(terms[name])
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_missing_target_rows_give_zero():
    model = make_model()
    objective = build_objective("mlm", {"domains": "target"}, make_setup(model))
    loss = objective(make_view(model, make_batch(target=0)))["mlm"]
    loss.backward()
    assert loss.item() == 0.0


def test_domain_distinguish_equals_a_rewrite_with_sides_balanced():
    model = make_model(dropout=0.0).eval()
    objective = build_objective("domain_distinguish", {}, make_setup(model)).eval()
    batch = make_batch(source=4, target=2)
    terms = objective(make_view(model, batch))
    hidden = model.base_model(batch["input_ids"], attention_mask=batch["attention_mask"])[0]
    logs = objective.classifier(hidden[:, 0]).log_softmax(-1)
    expected = -0.5 * (logs[:4, 0].sum() / 4 + logs[4:, 1].sum() / 2)
    torch.testing.assert_close(terms["domain_distinguish"], expected)


def test_loss_is_float32_under_autocast_and_repeats_with_the_seed():
    model = make_model()
    objective = build_objective("mlm", {}, make_setup(model))
    values = []
    for _ in range(2):
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            values.append(objective(make_view(model, make_batch()))["mlm"])
    assert values[0].dtype == torch.float32
    assert torch.equal(values[0], values[1])


def test_bad_options_name_the_key():
    model = make_model()
    with pytest.raises(ConfigError, match=r"mlm\.mask_rate"):
        build_objective("mlm", {"mask_rate": 1.5}, make_setup(model))
    setup = make_setup(model)
    setup.tokenizer.mask_token = None
    with pytest.raises(ConfigError, match="mask token"):
        build_objective("mlm", {}, setup)
    assert fresh_mlm_head(model).bias.shape == (VOCAB,)


def test_adapters_take_part_where_the_task_model_is_wrapped_by_peft():
    from peft import LoraConfig, get_peft_model

    wrapped = get_peft_model(make_model(), LoraConfig(task_type="SEQ_CLS", r=2))
    objective = build_objective("mlm", {}, make_setup(wrapped))
    view = dataclasses.replace(make_view(make_model(), make_batch()), task_model=wrapped)
    objective(view)["mlm"].backward()
    trained = [name for name, p in wrapped.named_parameters() if p.grad is not None]
    assert trained
    assert all("lora_" in name for name in trained)
    assert wrapped.get_input_embeddings().weight.grad is None
