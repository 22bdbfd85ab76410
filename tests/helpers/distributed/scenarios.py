"""Short runs that one process and two processes must end alike.

As a program it goes through all of them: `torchrun --standalone --nproc_per_node 2 -m
tests.helpers.distributed.scenarios FOLDER`.
"""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from accelerate import PartialState

from nlp_adapt.data.domain import make_dataset
from nlp_adapt.errors import RunStopped
from nlp_adapt.tasks import TASKS
from nlp_adapt.training import loop as loop_module
from nlp_adapt.training.accelerator import make_accelerator
from nlp_adapt.training.inputs.data import EvaluationSet
from nlp_adapt.training.scoring import Scorer
from nlp_adapt.training.trainer import AdaptationTrainer
from tests.helpers.several_domains import TAG_NAMES, TAGS, several_trainer
from tests.helpers.tiny_encoders import WORDS, tiny_model, tiny_tokenizer
from tests.helpers.trainers import NAMES, toy_domain, trainer_for

# Rows of a step over all processes and micro-batches, for each domain.
GLOBAL_BATCH = 8
SHARED = {
    "max_steps": 3,
    "discriminator_dropout": 0.0,
    "max_grad_norm": 0.5,
    "lambda_schedule": "constant",
    "eval_strategy": "steps",
    "eval_steps": 2,
    "data_doctor": "off",
}
MASKS = {"objectives": {"mlm": {}, "domain_distinguish": {}}, "steps": 2}
RUNS = {
    "dann": {},
    "cdan_accumulating": {"method": "cdan", "gradient_accumulation_steps": 2},
    "critic_alone": {"stages": [{"objectives": ["dann"], "steps": 2}], "max_steps": -1},
    "masks_first": {"stages": [MASKS, {"objectives": ["task"], "steps": 2}], "max_steps": -1},
    "entity_free_mean": {"domain_features": "mean", "lambda_max": 0.0},
    "averaged": {"ema_decay": 0.5, "method": "mdd"},
    "several_domains": {},
    # Words, of which the few labelled rows of the target carry few.
    "tagger": {"task": TAGS},
    "auxiliary": {
        "auxiliary": {"topic": {"share": 0.5}},
        "options": {"auxiliary": {"dropout": 0.0}},
    },
    # A teacher's answers to rows that no number of processes divides; of words as well.
    "distilled": {"method": "distillation"},
    "distilled_tagger": {"method": "distillation", "task": TAGS},
}
EVALUATION_ROWS = (1, 7, 97)


def run(folder, name, processes, runs=RUNS, **more):
    """Train one of `runs` into `folder/name`."""
    options = {**SHARED, "compare_source_only": name == "dann", **runs[name], **more}
    shares = processes * options.get("gradient_accumulation_steps", 1)
    batch = {"per_device_train_batch_size": GLOBAL_BATCH // shares}
    return MAKERS.get(name, trainer_for)(folder / name, **options, **batch).train()


def auxiliary_trainer(folder, *, auxiliary, options, **others):
    """A trainer with an auxiliary task of 19 rows, which no batch divides."""
    args = trainer_for(folder, **others).args
    return AdaptationTrainer(
        tiny_model(),
        replace(args, auxiliary=auxiliary, options=options),
        toy_domain("reviews", 30),
        toy_domain("tweets", 50),
        auxiliary={"topic": toy_domain("topics", 40, rows=19)},
        processing_class=tiny_tokenizer(),
    )


def distilled_trainer(folder, **options):
    """A student of a random teacher, which one process writes."""
    words = options.get("task") == TAGS
    teacher = folder / "teacher"
    accelerator = make_accelerator(trainer_for(Path("unused")).args)
    with accelerator.main_process_first():
        if accelerator.is_main_process:
            head = (
                ("TokenClassification", TAG_NAMES) if words else ("SequenceClassification", NAMES)
            )
            tiny_model("roberta", *head, seed=3).save_pretrained(teacher)
            tiny_tokenizer().save_pretrained(teacher)
    if words:
        return several_trainer(folder, few_shot=None, teacher=str(teacher), **options)
    return trainer_for(folder, teacher=str(teacher), **options)


MAKERS = {
    "distilled": distilled_trainer,
    "distilled_tagger": distilled_trainer,
    "several_domains": several_trainer,
    "tagger": several_trainer,
    "auxiliary": auxiliary_trainer,
}


def evaluation_scores():
    """Metrics of a random model on few and odd numbers of rows."""
    accelerator = make_accelerator(trainer_for(Path("unused")).args)
    task = TASKS["sequence-classification"](NAMES)
    scores = {}
    for count in EVALUATION_ROWS:
        generator = np.random.default_rng(count)
        texts = [" ".join(generator.choice(WORDS, generator.integers(1, 30))) for _ in range(count)]
        labels = generator.integers(0, 2, count).tolist()
        dataset = make_dataset(task.name, texts, [str(i) for i in range(count)], labels, NAMES)
        rows = EvaluationSet(dataset, task.encode(dataset, tiny_tokenizer(), 64))
        data = SimpleNamespace(
            evaluation={"source_test": {"reviews": rows}}, names=lambda side: ("reviews",)
        )
        scorer = Scorer(task, data, pad_id=0, batch_size=1, accelerator=accelerator)
        scores[str(count)] = scorer.tests(tiny_model())["source"]
    return scores


def skip_where_one_process_breaks(folder, **more):
    """A gradient that only process 1 sees as broken: both must skip the step."""
    original = loop_module.StageLoop._forward_backward
    calls = []

    def poison(self, batches):
        terms = original(self, batches)
        calls.append(1)
        if len(calls) == 2 and self.accelerator.process_index == 1:
            gradient = next(self.wrapped.parameters()).grad
            # Of a sharded gradient this process has its own rows.
            getattr(gradient, "to_local", lambda: gradient)().fill_(float("nan"))
        return terms

    loop_module.StageLoop._forward_backward = poison
    try:
        trainer = trainer_for(folder / "skip", **SHARED, compare_source_only=False, **more)
        trainer.train()
    finally:
        loop_module.StageLoop._forward_backward = original
    return {"calls": len(calls), "sum": float(sum(p.sum() for p in trainer.model.parameters()))}


def stop_where_one_process_is_told(folder, **more):
    """SIGTERM to process 1 alone after two steps: both save and stop; then the run goes on."""
    options = {**SHARED, "compare_source_only": False, "discriminator_dropout": 0.3, **more}
    trainer_for(folder / "whole", **options).train()
    original = loop_module.StageLoop._forward_backward

    def signalled(self, batches):
        if self.step == 1 and self.accelerator.process_index == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batches)

    loop_module.StageLoop._forward_backward = signalled
    try:
        trainer_for(folder / "stopped", **options).train()
        code = None
    except RunStopped as stopped:
        code = stopped.exit_code
    finally:
        loop_module.StageLoop._forward_backward = original
    saved = [path.name for path in (folder / "stopped" / "run" / "checkpoints").iterdir()]
    trainer_for(folder / "stopped", **options, resume=True).train()
    return {"code": code, "saved": saved}


def stopped_early(folder, processes, stop_at=None, resume=False, **more):
    """A run without dropout that may be told to stop after a step."""
    original = loop_module.StageLoop._forward_backward

    def signalled(self, batches):
        if self.step == stop_at and self.accelerator.process_index == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batches)

    loop_module.StageLoop._forward_backward = signalled
    options = {**SHARED, "max_steps": 4, "compare_source_only": False, "resume": resume, **more}
    batch = {"per_device_train_batch_size": GLOBAL_BATCH // processes}
    try:
        return trainer_for(folder, **options, **batch).train()
    except RunStopped:
        return None
    finally:
        loop_module.StageLoop._forward_backward = original


def main(folder):
    """Every scenario; each process writes what it has seen."""
    torch.set_num_threads(1)
    found = {"results": {name: run(folder, name, 2) for name in RUNS}}
    found["evaluation"] = evaluation_scores()
    found["skip"] = skip_where_one_process_breaks(folder)
    found["stop"] = stop_where_one_process_is_told(folder)
    stopped_early(folder / "stopped_early", 2, stop_at=1)
    rank = PartialState().process_index
    (folder / f"process{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
