"""The domains of a run: its sources, its targets, and labelled target rows where there are some."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nlp_adapt.config import AdaptationConfig
from nlp_adapt.data.domain import Domain
from nlp_adapt.data.label_spaces import label_space
from nlp_adapt.data.loading import load_domain
from nlp_adapt.data.reading.references import describe
from nlp_adapt.data.streaming import TextStream
from nlp_adapt.errors import ConfigError
from nlp_adapt.methods import Stage
from nlp_adapt.names import TOKEN_CLASSIFICATION
from nlp_adapt.objectives import AuxiliarySpec, sides_read
from nlp_adapt.recipe import Recipe
from nlp_adapt.training.inputs.auxiliary import AuxiliaryTask, gather_auxiliary
from nlp_adapt.training.inputs.few_shot import few_shot_domains
from nlp_adapt.training.inputs.stream import open_stream, sample_domain


@dataclass(frozen=True)
class Inputs:
    """What a run trains and evaluates on.

    Attributes:
        sources: The labelled domains; their place here is their domain index.
        targets: The domains to adapt to; their indices follow those of the sources.
        few_shot: Labelled rows released for training, by the name of their target.
        stream: The target's texts one by one, if it is streamed; `targets` then hold a sample.
        recipe: The recipe that names them, if one does.
    """

    sources: tuple[Domain, ...]
    targets: tuple[Domain, ...] = ()
    few_shot: Mapping[str, Domain] = field(default_factory=dict)
    auxiliary: Mapping[str, AuxiliaryTask] = field(default_factory=dict)
    stream: TextStream | None = None
    recipe: Recipe | None = None

    @property
    def auxiliary_specs(self) -> list[AuxiliarySpec]:
        """What the objective may know of each auxiliary task."""
        return [task.spec for task in self.auxiliary.values()]

    @property
    def sides(self) -> dict[str, tuple[Domain, ...]]:
        """Sources and targets by side."""
        return {"source": self.sources, "target": self.targets}

    def fingerprints(self) -> dict[str, str]:
        """A hash of each domain's texts and labels, by what a message calls it."""
        hashes = {}
        for side, domains in self.sides.items():
            for index, domain in enumerate(domains):
                # The place of a domain among several decides its class in a discriminator.
                name = side if len(domains) == 1 else f"{side} {index + 1} ({domain.name})"
                hashes[name] = domain.fingerprint()
        for name, domain in self.few_shot.items():
            hashes[f"labelled rows of {name}"] = domain.fingerprint()
        for name, task in self.auxiliary.items():
            hashes[f"auxiliary task {name}"] = task.fingerprint
        if self.stream is not None:
            hashes["target_stream"] = self.stream.fingerprint()
        return hashes


def gather_inputs(
    config: AdaptationConfig,
    source: Any,
    target: Any = None,
    few_shot: Any = None,
    auxiliary: Mapping[str, Any] | None = None,
    stream: TextStream | None = None,
    **reading: Any,
) -> Inputs:
    """The domains that a user has given in one form or another, checked against each other.

    Args:
        source: A domain or a reference; several as a list of domains, or as a mapping of names to
            domains or references. A list of references is one domain of several files.
        target: Likewise; None or empty for none.
        stream: The target as a stream, where `target` is a sample of it.

    Raises:
        AdaptationError: If a domain cannot be read, two of a side have the same name, or labels do
            not match.
    """
    if stream is None and config.streaming and is_reference(target):
        stream = open_stream(target, config)
        target = sample_domain(stream, config.task, describe(target))
    sources = _side(source, "source", config.task)
    none = target is None or _is_empty(target)
    targets = () if none else _side(target, "target", config.task)
    names = label_space(sources, targets)
    released: Mapping[str, Domain] = {}
    if few_shot is not None:
        released = few_shot_domains(
            few_shot,
            targets,
            names,
            config.seed,
            load=lambda one: load_domain(one, task=config.task, test_fraction=0.0),
        )
    tasks: Mapping[str, AuxiliaryTask] = {}
    if config.auxiliary or auxiliary:
        tasks = gather_auxiliary(config, sources, targets, auxiliary, **reading)
    return Inputs(sources, targets, released, tasks, stream)


def check_options(domains: Inputs, config: AdaptationConfig, stages: Sequence[Stage]) -> None:
    """Refuse options that would do nothing with these domains and stages."""
    if config.streaming and len(domains.targets) > 1:
        raise ConfigError("streaming reads a single target: give one, or turn streaming off.")
    if config.target_class_shares and not domains.targets:
        raise ConfigError("target_class_shares needs a target domain: set `target`.")
    if config.augment == "domain_terms" and not domains.targets:
        raise ConfigError("augment: domain_terms needs a target domain: set `target`.")
    if config.few_shot_use != "train":
        _check_sample(domains, config)
    elif domains.few_shot and "few_shot" not in sides_read(stages):
        raise ConfigError(
            "target_few_shot: no stage of this method has the objective 'task', which alone learns "
            "from labelled target rows; choose another method, or leave it out."
        )


def _check_sample(domains: Inputs, config: AdaptationConfig) -> None:
    """Refuse labelled rows that say nothing of the target's class shares."""
    use = f"few_shot_use: {config.few_shot_use}"
    if not domains.few_shot:
        raise ConfigError(f"{use} needs labelled target rows: set target_few_shot.")
    if config.task == TOKEN_CLASSIFICATION:
        raise ConfigError(f"{use} is for texts: for words, leave it at train.")
    if config.target_class_shares:
        raise ConfigError(f"{use} estimates what target_class_shares says: leave one of them out.")
    for name, rows in domains.few_shot.items():
        if rows.reference.isdecimal():
            raise ConfigError(
                f"{use} needs a random sample, but target_few_shot draws {rows.reference} rows of each "
                f"class of {name}: name a labelled file of rows that were picked at random."
            )


def distinct(domains: Sequence[Domain], side: str) -> tuple[Domain, ...]:
    """The domains, if each has a name of its own."""
    if not domains:
        raise ConfigError(f"{side}s is empty: name at least one domain.")
    names = [domain.name for domain in domains]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"{side}s: two domains are called '{name}'; give each a name of its own, such as "
                f"{side}s: {{first: ..., second: ...}}."
            )
    return tuple(domains)


def _side(given: Any, side: str, task: str) -> tuple[Domain, ...]:
    def loaded(one: Any) -> Domain:
        return one if isinstance(one, Domain) else load_domain(one, task=task)

    if type(given) is dict:  # a DatasetDict is a reference
        domains = [replace(loaded(one), name=name) for name, one in given.items()]
    elif isinstance(given, (list, tuple)) and any(isinstance(one, Domain) for one in given):
        domains = [loaded(one) for one in given]
    else:
        domains = [loaded(given)]
    return distinct(domains, side)


def is_reference(given: Any) -> bool:
    """Whether `given` names data that is yet to be read, of a single domain."""
    several = type(given) is dict or (
        isinstance(given, (list, tuple)) and any(isinstance(one, Domain) for one in given)
    )
    none = given is None or _is_empty(given)
    return not none and not isinstance(given, Domain) and not several


def _is_empty(given: Any) -> bool:
    return isinstance(given, (list, tuple, dict)) and not given
