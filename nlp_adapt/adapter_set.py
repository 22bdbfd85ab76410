"""Adapters of several domains on one base model, in one folder, switched without reloading.

The folder holds one folder a domain, each as PEFT writes it and usable on its own.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_adapt.config import nearest
from nlp_adapt.errors import ConfigError, ModelError, RunError
from nlp_adapt.modeling.lora import ADAPTER_CONFIG

_DOMAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class AdapterInfo:
    """What one domain's folder says of itself.

    Attributes:
        domain: Name of the domain.
        base: The model that the adapters were trained on.
        kind: PEFT's name of their kind, such as LORA.
        architecture: Class of the task model.
        label_names: Class names in index order.
    """

    domain: str
    base: str
    kind: str
    architecture: str
    label_names: tuple[str, ...]


class AdapterSet:
    """A folder of domain adapters.

    Args:
        folder: Where they are; made by the first `add`.

    Example:
        >>> adapters = AdapterSet("adapters")  # doctest: +SKIP
        >>> adapters.add("tweets", "runs/tweets")  # doctest: +SKIP
        >>> adapters.predictor("tweets").predict(["what a day"])  # doctest: +SKIP
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._predictor: Any = None

    def domains(self) -> list[AdapterInfo]:
        """Every domain in the folder, sorted by name."""
        found = sorted(path.parent for path in self.folder.glob(f"*/{ADAPTER_CONFIG}"))
        return [_describe(path, path.name) for path in found]

    def add(self, domain: str, run: str | Path) -> AdapterInfo:
        """Copy the adapters of a run, or of an adapter folder, under the name `domain`.

        Raises:
            AdaptationError: If the name is taken or unusable, the run holds no adapters, or they
                belong to another base model, task or set of labels than those already here.
        """
        if not _DOMAIN_NAME.fullmatch(domain):
            raise ConfigError(
                f"the domain name '{domain}' must consist of letters, digits, '.', '_' and '-'."
            )
        place = self.folder / domain
        if place.exists():
            raise RunError(f"{place}: the domain is there already; choose another name.")
        origin = Path(run)
        if (origin / "model" / ADAPTER_CONFIG).is_file():
            origin = origin / "model"
        if not (origin / ADAPTER_CONFIG).is_file():
            raise ModelError(
                f"{run}: holds no adapters ({ADAPTER_CONFIG}); train with lora and without "
                "merge_lora."
            )
        info = _describe(origin, domain)
        for other in self.domains()[:1]:
            _check_same_base(info, other)
        staged = self.folder / f".{domain}.staged"
        shutil.rmtree(staged, ignore_errors=True)
        shutil.copytree(origin, staged)
        staged.rename(place)
        return info

    def predictor(self, domain: str, **options: Any) -> Any:
        """A `Predictor` with the adapters of `domain` switched on.

        The base model and all adapters are loaded once: later calls only switch, and hand out the
        same object.

        Args:
            domain: Which adapters.
            **options: `precision`, `batch_size` and `device` of `load_predictor`, for the first
                call.

        Raises:
            ConfigError: If there is no such domain.
            ModelError: If the base model or adapters cannot be loaded.
        """
        infos = self.domains()
        names = [info.domain for info in infos]
        if domain not in names:
            raise ConfigError(
                f"{self.folder} has no domain '{domain}'{nearest(domain, names)} "
                f"(it has {', '.join(names) or 'none'})"
            )
        if self._predictor is None:
            self._predictor = self._load(infos, options)
        self._predictor.task_model.set_adapter(_adapter_name(names.index(domain)))
        return self._predictor

    def _load(self, infos: list[AdapterInfo], options: dict[str, Any]) -> Any:
        from peft import PeftModel

        from nlp_adapt.prediction.predictor import load_predictor

        folders = [str(self.folder / info.domain) for info in infos]
        predictor = load_predictor(folders[0], base_only=True, **options)
        base = predictor.task_model
        try:
            model = PeftModel.from_pretrained(base, folders[0], adapter_name=_adapter_name(0))
            for number, folder in enumerate(folders[1:], 1):
                model.load_adapter(folder, adapter_name=_adapter_name(number))
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"{self.folder}: the adapters cannot be loaded ({reason})") from error
        predictor.task_model = model.eval()
        return predictor


def _adapter_name(number: int) -> str:
    """A name that torch accepts for a submodule, which a domain's own may not be."""
    return f"domain{number}"


def _describe(folder: Path, domain: str) -> AdapterInfo:
    try:
        adapter = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        model = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        labels = model["id2label"]
        return AdapterInfo(
            domain=domain,
            base=str(adapter["base_model_name_or_path"]),
            kind=str(adapter["peft_type"]),
            architecture=str(model["architectures"][0]),
            label_names=tuple(labels[str(index)] for index in range(len(labels))),
        )
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ModelError(
            f"{folder}: not an adapter folder of nlp_adapt ({type(error).__name__}: {error})."
        ) from error


def _check_same_base(new: AdapterInfo, old: AdapterInfo) -> None:
    for what, mine, theirs in (
        ("the base model", new.base, old.base),
        ("the kind of adapter", new.kind, old.kind),
        ("the model class", new.architecture, old.architecture),
        ("the labels", ", ".join(new.label_names), ", ".join(old.label_names)),
    ):
        if mine != theirs:
            raise ModelError(
                f"{new.domain} does not fit {old.domain} in {what} ({mine} instead of {theirs}): "
                "adapters in one folder share it; use another folder."
            )
