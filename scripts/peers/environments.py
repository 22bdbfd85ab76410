"""Make an environment for each peer, with venv and pip.

    python scripts/peers/environments.py ENVIRONMENTS
    python scripts/peers/environments.py ENVIRONMENTS --peers skada SetFit

ENVIRONMENTS becomes a folder with one virtual environment a peer; one that is whole already is left
alone. Versions that the peers share are those of `constraints.txt`. On Linux, pip's default torch brings
the CUDA libraries: set PIP_INDEX_URL or PIP_FIND_LINKS to have another build. `--beside` installs only what
the environment that runs this script does not have, and reads the rest, such as torch, from there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
from pathlib import Path

from catalogue import COMMON, PEERS, Peer

CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"
WHOLE = "whole"  # a file that is written once everything is installed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the environments are, or will be")
    needy = [name for name, peer in PEERS.items() if peer.requirements]
    parser.add_argument("--peers", nargs="+", choices=needy, default=needy, metavar="PEER")
    parser.add_argument("--beside", action="store_true", help="share what is installed here")
    args = parser.parse_args()
    for name in args.peers:
        print(make(args.folder, name, PEERS[name], beside=args.beside), flush=True)


def python_of(folder: Path | None, name: str, peer: Peer) -> str | None:
    """The interpreter that runs a peer, or None where its environment is missing or half made."""
    if not peer.requirements:
        return sys.executable
    if folder is None or not (folder_of(folder, name) / WHOLE).is_file():
        return None
    return str(folder_of(folder, name) / "bin" / "python")


def folder_of(folder: Path, name: str) -> Path:
    """Where the environment of a peer is."""
    return folder / name.replace(" ", "_")


def make(folder: Path, name: str, peer: Peer, *, beside: bool = False) -> Path:
    """Make the environment of a peer, unless it is there; `beside` this one, if that is wanted."""
    own = folder_of(folder, name)
    if (own / WHOLE).is_file():
        return own
    subprocess.run([sys.executable, "-m", "venv", str(own)], check=True)
    if beside:
        (site,) = own.glob("lib/python*/site-packages")
        (site / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    pip = [str(own / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    wanted = [*COMMON, *peer.requirements]
    subprocess.run([*pip, "--constraint", str(CONSTRAINTS), *wanted], check=True)
    if peer.alone:
        subprocess.run([*pip, "--no-deps", *peer.alone], check=True)
    (own / WHOLE).touch()
    return own


if __name__ == "__main__":
    main()
