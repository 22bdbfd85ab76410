"""A teacher that averages the student: Tarvainen & Valpola 2017, "Mean teachers", NeurIPS."""

import copy
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nlp_adapt.augmentation.views import EditedView
from nlp_adapt.config import EDITS
from nlp_adapt.errors import ConfigError
from nlp_adapt.modeling.outputs import DomainOutput, Progress, Terms
from nlp_adapt.modeling.units import unit_logits
from nlp_adapt.objectives.base import TARGET_SIDE, Objective, ObjectiveConfig, Setup, StepView
from nlp_adapt.objectives.views import select_side
from nlp_adapt.options import SHARE, Bounds, option

RAMP_SHARPNESS = -5.0


class EmaTeacher(nn.Module):
    """A copy of the task model whose weights follow it as an exponential moving average.

    It takes no gradients, stays in evaluation mode, and is saved, so that a run resumes exactly.
    """

    def __init__(self, task_model: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        # Hooks that record the student's features stay with the student.
        hooks: dict[int, Any] = {
            id(module._forward_pre_hooks): OrderedDict() for module in task_model.modules()
        }
        self.model = copy.deepcopy(task_model, hooks).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "EmaTeacher":
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def restart(self, task_model: nn.Module) -> None:
        """Take over the task model's weights as they are."""
        for mine, theirs in zip(self.model.parameters(), task_model.parameters(), strict=True):
            mine.copy_(theirs)

    @torch.no_grad()
    def update(self, task_model: nn.Module, step: int) -> None:
        """`teacher = decay * teacher + (1 - decay) * student`.

        The decay is at most `1 - 1 / (step + 1)`, as in the authors' code: the teacher is the plain
        mean of the stage so far until the exponential one forgets faster, so that a short stage has
        an averaged teacher as well, in which its first weights count like any others. With a decay
        of 1 the teacher stays as it started.
        """
        if self.decay == 1.0:
            return
        decay = min(self.decay, 1.0 - 1.0 / (step + 1))
        for mine, theirs in zip(self.model.parameters(), task_model.parameters(), strict=True):
            mine.lerp_(theirs.to(mine.dtype), 1.0 - decay)

    @torch.no_grad()
    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Logits of the batch's units `[units, classes]` in float32."""
        return unit_logits(self.model, batch).float()


@dataclass(kw_only=True)
class TeacherConfig(ObjectiveConfig):
    """Options that objectives with a teacher share."""

    teacher: str = option(
        "student",
        "who answers: an average of the student, or its source-only twin, finished, which then stays "
        "as it is; in a run without that, the student as the stage before has left it",
        ("student", "twin"),
    )
    ema_decay: float = option(
        0.99,
        "share of the teacher kept in each step; 1 keeps it as the stage before has left it",
        bounds=Bounds(at_least=0, at_most=1),
        where=("teacher", ["student"]),
    )
    ramp: float = option(
        0.3,
        "share of the stage over which the loss grows to its full weight",
        bounds=Bounds(at_least=0, at_most=1),
    )
    edit: str = option("none", "edit of the words that the student sees", ("none", *EDITS))
    edit_rate: float = option(
        0.15,
        "share of words that are edited; with domain_terms, of the target's terms",
        bounds=SHARE,
        where=("edit", EDITS),
    )
    edit_model: str | None = option(
        None, "masked language model of the edit infill; default: the encoder as pretrained"
    )


class TeacherObjective(Objective):
    """A teacher reads the clean target and labels it for the student.

    The student takes the main forward pass, with its dropout, or one over edited words.
    """

    config_class = TeacherConfig
    reads = TARGET_SIDE
    trains_task_head = True
    copies_model = True
    made_anew = ("teacher", "editor")
    name = ""

    def __init__(self, config: TeacherConfig, setup: Setup) -> None:
        super().__init__(config, setup)
        fixed = config.teacher == "twin"
        twin = setup.twin() if fixed and setup.twin is not None else None
        self.twin_teaches = twin is not None
        copied = setup.task_model if twin is None else twin
        self.teacher = EmaTeacher(copied, 1.0 if fixed else config.ema_decay)
        self.editor: EditedView | None = None
        if config.edit != "none":
            self.editor = EditedView(
                config.edit,
                config.edit_rate,
                tokenizer=setup.tokenizer,
                task_model=setup.task_model,
                tokens=setup.tokens,
                model=config.edit_model,
                token_level=setup.token_level,
                seed=int(setup.defaults.get("seed", 0)),
            )
        elif config.edit_model is not None:
            raise ConfigError(f"{self.name}.edit_model is there for edit infill alone.")

    @property
    def reads_rows_as_they_are(self) -> bool:
        """Whether the student's words are not edited."""
        return self.editor is None

    @property
    def other_reader(self) -> nn.Module:
        """The teacher."""
        return self.teacher.model

    def start(self, task_model: nn.Module) -> None:
        """The teacher is the model as the stage before has left it, unless it is the twin."""
        if not self.twin_teaches:
            self.teacher.restart(task_model)

    def forward(self, view: StepView) -> Terms:
        """What `compare` makes of both models' views of the target."""
        clean = select_side(view.batch, "target")
        if clean["labels"].shape[0] == 0:
            return {self.name: 0.0 * view.target.logits.float().sum()}
        with view.skipping(self.teacher.model, clean):
            logits = self.teacher(clean)
        student = view.target if self.editor is None else view.encode(self.editor(clean))[1]
        return self.compare(logits, student, view.progress)

    def compare(self, teacher_logits: Tensor, student: DomainOutput, progress: Progress) -> Terms:
        """Terms from the teacher's logits `[units, classes]` and the student's units."""
        raise NotImplementedError

    def after_step(self, task_model: nn.Module, progress: Progress) -> None:
        """Let the teacher follow."""
        self.teacher.update(task_model, progress.step)

    def ramp(self, progress: Progress) -> float:
        """Factor of the loss, from near 0 to 1 over the option `ramp` (Laine & Aila 2017)."""
        if progress.fraction >= self.config.ramp:
            return 1.0
        remaining = 1.0 - progress.fraction / self.config.ramp
        return math.exp(RAMP_SHARPNESS * remaining**2)
