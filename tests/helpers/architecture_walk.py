"""What becomes of an architecture: a run of a tiny model, and what plain transformers make of it."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import torch
import transformers

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.errors import AdaptationError, ConfigError
from nlp_adapt.modeling.architectures import after_layers, encoder_layers, encoder_of, longest_input
from nlp_adapt.modeling.cpu import in_passes
from nlp_adapt.modeling.perturbation import perturbed, refuse_unperturbable
from nlp_adapt.modeling.suitability import (
    OTHERS,
    fit_to_tokenizer,
    refuse_architecture,
    with_padding,
)
from nlp_adapt.modeling.units import UnitReader, unit_logits
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.shrunken import TAGS, tiny_classifier
from tests.helpers.tiny_encoders import WORDS, tiny_tokenizer
from tests.helpers.trainers import toy_domain

SENTENCES, WORDWISE = "SequenceClassification", "TokenClassification"
TASKS = {SENTENCES: "sentences", WORDWISE: "words"}
TEXTS = ["word1 word30 word5", "word2", "word7 word8 word1 word33 word60 word61 word62"]
WORKS = "works"
# Rows and width of each part of a batch of two rows, of 9 and of 20 tokens.
PASSES = ((1, 9), (1, 20))


def outcome(model_type, task, methods=("dann",), *, twin=True):
    """`works`, or the reason for which it is refused.

    Args:
        model_type: As in its configuration.
        task: Of `TASKS`.
        methods: Each is trained for two steps; none for the forward pass alone.
        twin: Whether source-only is trained beside `dann`.

    Raises:
        AssertionError: If something is wrong that nothing refuses.
    """
    try:
        refuse_architecture(transformers.CONFIG_MAPPING[model_type]())
        model = tiny_classifier(model_type, task)
        tokenizer = with_padding(tiny_tokenizer(), model.config)
        fit_to_tokenizer(model, tokenizer)
    except AdaptationError as error:
        reason = str(error).removesuffix(f"; {OTHERS}.")
        return reason.partition("cannot be adapted: ")[2] or reason
    check_forward(model, tokenizer)
    for method in methods:
        with tempfile.TemporaryDirectory() as folder:
            check_run(model, task, method, Path(folder) / "run", twin and method == "dann")
    return WORKS


def check_forward(model, tokenizer):
    """Features and logits of a padded batch are those of plain forward passes, row by row."""
    model.eval()
    rows = [[2, *range(10, 17), 3], [2, *range(20, 38), 3]]
    batch = _batch(rows)
    reader = UnitReader(model)
    with torch.no_grad():
        plain = [model(**_batch([row])).logits[0] for row in rows]
        logits = unit_logits(model, batch)
        if logits.dim() == 2:
            given = {
                "labels": torch.tensor([0, 1]),
                "unit_rows": torch.arange(2),
                "domains": torch.tensor([0, 1]),
                "source_units": 1,
            } | {
                f"{side}_{what}": 1.0
                for side in ("source", "target")
                for what in ("count", "labelled")
            }
            sides = reader.read(model, {**batch, **given})
            for side, row in zip(sides, plain, strict=True):
                _close(side.logits[0], row, "logits of the one forward pass")
                _close(reader._tap.layer(side.features)[0], row, "logits of the features")
        reader.remove()
        for got, row in zip(logits, plain, strict=True):
            _close(got[: len(row)] if got.dim() == 2 else got, row, "padded and unpadded rows")
        with in_passes(model, PASSES):
            _close(unit_logits(model, batch)[:, :9], logits[:, :9], "logits of a divided batch")
        check_perturbation(model, batch, logits)
        longest = longest_input(model.config, type("", (), {"model_max_length": 50}))
        model(**_batch([[2, *[9] * (longest - 2), 3]]))
        above = {one for one in after_layers(model) if any(True for _ in one.parameters())}
        assert above == _run_after_layers(model, batch), "modules after the last layer"


def check_perturbation(model, batch, logits):
    """Moving the embeddings of one row moves its logits alone, or is refused."""
    with suppress(ConfigError):
        refuse_unperturbable(model, "this")
        size = model.get_input_embeddings().weight.shape[1]
        push = torch.zeros(*batch["input_ids"].shape, size)
        push[0, 1] = torch.linspace(-1, 1, size)
        with perturbed(model, push):
            moved = (unit_logits(model, batch) - logits).flatten(1).abs().amax(1)
            with in_passes(model, PASSES):
                divided = (unit_logits(model, batch) - logits).flatten(1).abs().amax(1)
        assert (moved > 1e-6).tolist() == [True, False], "the row that a perturbation moves"
        assert divided[0] > 1e-6, "a perturbation of a divided batch"


def _run_after_layers(model, batch):
    """Modules of the encoder, with parameters, that run after its last layer; the outermost."""
    encoder, order = encoder_of(model), []
    try:
        top = encoder_layers(model)[-1]
        leaves = [
            one for one in encoder.modules() if one._parameters and top not in set(one.modules())
        ]
        watched = (*leaves, top)
    except ConfigError:  # there is no last one
        top, watched = None, ()
    hooks = [one.register_forward_hook(lambda module, *_: order.append(module)) for one in watched]
    model(**batch)
    for hook in hooks:
        hook.remove()
    if top not in order:  # or it is not called as a module
        return {one for one in after_layers(model) if any(True for _ in one.parameters())}
    last = max(place for place, one in enumerate(order) if one is top)
    return {_outermost(one, encoder, top) for one in order[last + 1 :]}


def _outermost(module, encoder, top):
    """The largest part of the encoder with `module` in it and without its layers."""
    holders = [one for one in encoder.modules() if module in set(one.modules())]
    return next(one for one in holders if top not in set(one.modules()))


def check_run(model, task, method, folder, twin):
    """A run of two steps, whose saved folders plain transformers reads as we do."""
    args = AdaptationConfig(
        output_dir=str(folder), method=method, precision="fp32", max_steps=2, disable_tqdm=True,
        task="token-classification" if task == WORDWISE else "sequence-classification",
        per_device_train_batch_size=4, compare_source_only=twin, data_doctor="off",
    )  # fmt: skip
    domain = tagged_domain if task == WORDWISE else toy_domain
    trainer = AdaptationTrainer(
        model, args, domain("reviews", 30), domain("tweets", 50), processing_class=tiny_tokenizer()
    )
    trainer.train()
    own = trainer.model.cpu().eval()
    before = model.state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in own.state_dict().items())
    check_saved(own, folder / "model", task)
    if twin:
        check_saved(None, folder / "source_only" / "model", task)


def check_saved(own, folder, task):
    """Plain transformers reads texts together, and `own` each alone, with the same logits."""
    plain = getattr(transformers, f"AutoModelFor{task}").from_pretrained(folder).eval()
    # The toy vocabulary is of none of the kinds that architectures have tokenizers for.
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert inputs["attention_mask"].min() == 0
    with torch.no_grad():
        together = plain(**inputs).logits
        alone = [
            unit_logits(own or plain, _batch([tokenizer(text)["input_ids"]]))[0] for text in TEXTS
        ]
    for logits, mask, wanted in zip(together, inputs["attention_mask"], alone, strict=True):
        _close(
            logits[mask.bool()] if task == WORDWISE else logits, wanted, "logits of the saved model"
        )
    if task == WORDWISE:
        return
    answer = transformers.pipeline("text-classification", plain, tokenizer=tokenizer, device="cpu")
    for scores, wanted in zip(answer(TEXTS, top_k=None), alone, strict=True):
        by_name = {one["label"]: one["score"] for one in scores}
        found = torch.tensor([by_name[plain.config.id2label[index]] for index in (0, 1)])
        _close(found, wanted.softmax(-1), "scores of a pipeline")


def tagged_domain(name, first_word, rows=24):
    """Sentences with an entity each."""
    words = [[WORDS[first_word + i % 7], WORDS[i % 2], WORDS[20 + i % 5]] for i in range(rows)]
    labels = [[0, 1, 2] if i % 2 else [0, 0, 1] for i in range(rows)]
    places = [f"{name}:{i}" for i in range(rows)]
    dataset = make_dataset("token-classification", words, places, labels, TAGS)
    return Domain(name, "token-classification", train=dataset, test=dataset.select(range(9)))


def _batch(rows):
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return {"input_ids": ids, "attention_mask": mask}


def _close(found, wanted, what):
    found, wanted = found.float().cpu(), wanted.float().cpu()
    torch.testing.assert_close(
        found, wanted, atol=2e-5 * float(wanted.abs().max()), rtol=0, msg=lambda m: f"{what}: {m}"
    )
