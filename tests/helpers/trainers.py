"""A short run of a tiny encoder on two toy domains."""

from __future__ import annotations

from dataclasses import replace

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain, make_dataset
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.tiny_encoders import WORDS, tiny_model, tiny_tokenizer

NAMES = ("negative", "positive")


def toy_domain(name, first_word, rows=24, labelled=True):
    texts = [f"{WORDS[first_word + i % 7]} {WORDS[i % 2]} {WORDS[20 + i % 5]}" for i in range(rows)]
    labels = [i % 2 for i in range(rows)]
    places = [f"{name}:{i}" for i in range(rows)]
    dataset = make_dataset(
        "sequence-classification", texts, places, labels if labelled else None, NAMES
    )
    if not labelled:
        return Domain(name, "sequence-classification", unlabelled=dataset)
    return Domain(name, "sequence-classification", train=dataset, test=dataset.select(range(9)))


TRAINER_ARGUMENTS = (
    "callbacks",
    "compute_metrics",
    "eval_dataset",
    "optimizers",
    "optimizer_cls_and_kwargs",
)


def trainer_for(tmp_path, architecture="bert", model=None, **options):
    given = {name: options.pop(name) for name in TRAINER_ARGUMENTS if name in options}
    defaults = {
        "method": "dann",
        "output_dir": str(tmp_path / "run"),
        "precision": "fp32",
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "disable_tqdm": True,
        "logging_steps": 1,
        "fall_back": False,  # model/ is the adapted one
    }
    return AdaptationTrainer(
        model or tiny_model(architecture),
        AdaptationConfig(**{**defaults, **options}),
        toy_domain("reviews", 30),
        toy_domain("tweets", 50),
        processing_class=tiny_tokenizer(),
        **given,
    )


def with_domains(trainer, **domains):
    """The trainer with other `sources` or `targets`, which are not checked against each other."""
    given = {side: (domain,) for side, domain in domains.items()}
    inputs = replace(trainer.inputs, **given)
    trainer.context = replace(trainer.context, inputs=inputs)
    return trainer
