"""Short runs in shards (FSDP2) that must end like one process with the whole model.

As a program it goes through all of them: `torchrun --standalone --nproc_per_node 2 -m
tests.helpers.distributed.sharded_scenarios FOLDER`, where `FOLDER/from_one` holds a run of one process that
was stopped.
"""

import json
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from torch.distributed.fsdp import FSDPModule

from nlp_adapt.training import loop as loop_module
from tests.helpers.distributed.scenarios import (
    run,
    skip_where_one_process_breaks,
    stop_where_one_process_is_told,
    stopped_early,
)

# The last stage has a teacher that the one before it left behind, and a new discriminator.
TEACHER = [
    {"objectives": ["task"], "steps": 1},
    {"objectives": ["task", "consistency"], "steps": 2},
    {"objectives": ["task", "consistency", "dann"], "steps": 2},
]
RUNS = {
    "source_only": {"method": "source_only"},
    "dann": {},
    "averaged_second_critic": {"ema_decay": 0.5, "method": "mdd"},
    "accumulating_mean": {"domain_features": "mean", "gradient_accumulation_steps": 2},
    "teacher": {"stages": TEACHER, "max_steps": -1},
    "backward_in_forward": {"method": "fgm"},
    "refined_critic": {"method": "wasserstein", "options": {"wasserstein": {"critic_steps": 1}}},
    "unfreezing": {"gradual_unfreezing": True, "layer_decay": 0.8, "max_steps": 4},
    "adapters": {"lora": True, "lora_dropout": 0.0, "merge_lora": True},
    "several_domains": {"load_best_model_at_end": True},
}

# They draw at random in each process: two processes end like two under DDP, not like one.
DRAWING = ("teacher", "refined_critic")


def shares(folder):
    """What this process holds of two stages: of one that passes once, and of one that does not."""
    original = loop_module.StageLoop.steps
    found = {}

    def looked_at(self):
        yield from original(self)
        moments = [state["exp_avg"] for state in self.plain_optimizer.state.values()]
        found[",".join(self.trained.objectives)] = {
            "weights": sum(one.to_local().numel() for one in self.trained.parameters()),
            "moments": sum(one.to_local().numel() for one in moments),
            "of": sum(one.numel() for one in self.model.parameters()),
            "gathered_alone": [
                name for name, part in self.trained.named_modules() if isinstance(part, FSDPModule)
            ],
        }

    loop_module.StageLoop.steps = looked_at
    try:
        for name in ("dann", "backward_in_forward"):
            run(folder / "shares", name, 2, RUNS, fsdp=True, compare_source_only=False)
    finally:
        loop_module.StageLoop.steps = original
    return found


def main(folder):
    """Every scenario; each process writes what it has seen."""
    torch.set_num_threads(1)
    found = {"results": {name: run(folder, name, 2, RUNS, fsdp=True) for name in RUNS}}
    found["ddp"] = {name: run(folder / "ddp", name, 2, RUNS) for name in DRAWING}
    found["shares"] = shares(folder)
    found["skip"] = skip_where_one_process_breaks(folder, fsdp=True)
    found["stop"] = stop_where_one_process_is_told(folder, fsdp=True, ema_decay=0.5)
    stopped_early(folder / "stopped_early", 2, stop_at=1, fsdp=True)
    found["from_one"] = stopped_early(folder / "from_one", 2, resume=True, fsdp=True)
    rank = PartialState().process_index
    (folder / f"process{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
