"""Measure peers beside this package on the same work: quality and cost, in turns, on one machine.

    python scripts/peers/environments.py ENVIRONMENTS
    python scripts/benchmark_peers.py --data DATA --environments ENVIRONMENTS --seeds 3

DATA is that of `benchmark_methods.py`. Every peer of `peers/catalogue.py` gets the same encoder, rows, seed,
batch size, number of steps and learning rates, runs in a process and an environment of its own, and answers
the target's test rows, which are scored here: no peer sees their labels. Peers without an environment are
passed over and named.

Of each pair and seed all peers run one after the other, and each pair begins with another one, so that
speeds can be held against each other. Each finished run is a line in `<out>.runs.jsonl` with a hash of the
code that made it; a benchmark that was interrupted goes on where it stopped. Ratios of cost are taken only
between runs of one sitting, which is named after its start: `--sitting NAME` measures once more what other
sittings have measured, as is due after a change of the code, and goes on with that name.
`--report` only writes the page.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PEERS_FOLDER = Path(__file__).resolve().parent / "peers"
sys.path.append(str(PEERS_FOLDER))  # adapters import each other by name, wherever they run

import rows as peer_rows  # noqa: E402
from benchmark_runs import SMALL, Run, append, code_hash, made_alike, read_lines  # noqa: E402
from catalogue import OURS, PEERS, Peer  # noqa: E402
from environments import python_of  # noqa: E402
from peers_page import report  # noqa: E402
from suites import SUITES  # noqa: E402

from nlp_adapt import AdaptationError  # noqa: E402
from nlp_adapt.cli.console import quiet_libraries  # noqa: E402
from nlp_adapt.data.tagging import repair_bio2  # noqa: E402
from nlp_adapt.metrics import classification_metrics, span_metrics  # noqa: E402
from nlp_adapt.modeling.backbone import resolve_model  # noqa: E402

KEY = ("peer", "method", "seed", "source", "target")
SHARED = ("harness.py", "texts.py")
SETTINGS = {
    "steps": 180, "batch_size": 32, "learning_rate": 5e-5, "head_learning_rate": 5e-4, "warmup": 0.1,
    "weight_decay": 0.01, "max_length": 64, "rows": 2000, "threads": 1, "precision": "auto",
}  # fmt: skip
LONGEST = 3600  # seconds that a job may take


def main() -> None:
    args = parse_arguments()
    runs_file = args.out.with_suffix(".runs.jsonl")
    settings = {**SETTINGS, **read_settings(args.set)}
    failed: list[str] = []
    if not args.report:
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        for key, job in jobs(args, settings, missing_peers(args)):
            made_by = {
                "suite": args.suite, "encoder": args.encoder, "set": settings,
                "code": code_of(PEERS[key["peer"]]),
            }  # fmt: skip
            there = (line for line in read_lines(runs_file) if made_alike(line, made_by))
            wanted = {**key, "sitting": args.sitting} if args.sitting else key
            if any(wanted.items() <= line.items() for line in there):
                continue
            try:
                found = run(args, key, job)
            except PeerError as error:
                failed.append(f"{key}: {error}")
                print(failed[-1], file=sys.stderr)
                continue
            append(
                runs_file,
                [{**key, **made_by, "sitting": args.sitting or now, "date": now[:10], **found}],
            )
            shown = {name: round(value, 3) for name, value in found["scores"].items()}
            print(f"{key} {shown} ({found['seconds']:.0f} s)", file=sys.stderr)
            write_page(args, runs_file)
    write_page(args, runs_file)
    print(args.out)
    if failed:
        sys.exit(f"benchmark_peers: {len(failed)} runs ended in an error, such as {failed[0]}")


class PeerError(Exception):
    """A peer's process failed; the message is the end of what it said."""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder of the suites' domains")
    parser.add_argument("--environments", type=Path, help="what peers/environments.py made")
    parser.add_argument("--suite", choices=SUITES, default="snippets")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER")
    parser.add_argument("--methods", nargs="+", help="of those that a peer has; default: all")
    parser.add_argument("--encoder", default=SMALL, help="the model to start from")
    parser.add_argument(
        "--pairs", nargs="+", default=[], help="such as 'movie>tweets'; all if none"
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds 1 to N")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help=", ".join(SETTINGS)
    )
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/peers.md"))
    parser.add_argument(
        "--sitting", help="name of runs whose costs are compared; default: its start"
    )
    parser.add_argument("--report", action="store_true", help="run nothing, write the page anew")
    return parser.parse_args()


def read_settings(words: list[str]) -> dict[str, Any]:
    """What `--set` changes, each of the kind that its default is of."""
    found = {}
    for name, value in (word.split("=", 1) for word in words):
        if name not in SETTINGS:
            raise AdaptationError(f"--set {name}: there are only {', '.join(SETTINGS)}.")
        found[name] = type(SETTINGS[name])(value)
    return found


def missing_peers(args: argparse.Namespace) -> set[str]:
    """Peers whose environment is not there, which are said."""
    found = {name for name in args.peers if python_of(args.environments, name, PEERS[name]) is None}
    for name in sorted(found):
        print(
            f"{name}: no environment; make it with scripts/peers/environments.py", file=sys.stderr
        )
    return found


def jobs(
    args: argparse.Namespace, settings: dict[str, Any], missing: set[str]
) -> Iterator[tuple[Run, dict[str, Any]]]:
    """What to run, in order, as keys and jobs: pair by pair, each of them beginning with another peer."""
    pairs = [tuple(pair.split(">")) for pair in args.pairs] or SUITES[args.suite]["pairs"]
    words = args.suite == "wnut"
    blocks = [(seed, *pair) for seed in range(1, args.seeds + 1) for pair in pairs]
    for number, (seed, source, target) in enumerate(blocks):
        rows = peer_rows.read(args.data, args.suite, source, target, seed, settings["rows"])
        order = methods_of(args, missing, words)
        first = number * 3 % len(order)  # most peers have several methods in a row
        for peer, method in order[first:] + order[:first]:
            few = int(method.removeprefix("few_")) if method.startswith("few_") else 0
            if few and few > len(rows.pool[0]):
                continue
            own = rows.with_few(few, seed) if few else rows
            key = dict(zip(KEY, (peer, method, seed, source, target), strict=True))
            yield (
                key,
                {"rows": own, "settings": {**settings, **PEERS[peer].settings}, "words": words},
            )


def methods_of(args: argparse.Namespace, missing: set[str], words: bool) -> list[tuple[str, str]]:
    """Peers and methods, so that the same method of two peers runs close together."""
    found = [
        (method, peer)
        for peer in args.peers
        if peer not in missing
        for method in (PEERS[peer].words if words else PEERS[peer].texts)
        if args.methods is None or method in args.methods
    ]
    order = list(dict.fromkeys(method.split(":")[0] for method, _ in found))
    found.sort(key=lambda pair: order.index(pair[0].split(":")[0]))
    return [(peer, method) for method, peer in found]


def run(args: argparse.Namespace, key: Run, job: dict[str, Any]) -> dict[str, Any]:
    """Have a peer do a job in a process of its own, and score what it answers."""
    peer, rows = PEERS[key["peer"]], job["rows"]
    settings = {name: value for name, value in job["settings"].items() if name != "rows"}
    python = python_of(args.environments, key["peer"], peer) or sys.executable
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "job.json", Path(folder) / "found.json"
        given = {
            "method": key["method"], "seed": key["seed"], "words": job["words"],
            "label_names": rows.label_names, "texts": rows.texts, "labels": rows.labels,
            "encoder": resolve_model(args.encoder), "scratch": f"{folder}/scratch", "out": str(out),
            **settings,
        }  # fmt: skip
        path.write_text(json.dumps(given), encoding="utf-8")
        started = time.perf_counter()
        command = [python, str(PEERS_FOLDER / peer.adapter), str(path)]
        ended = subprocess.run(
            command, env=environment(settings["threads"]), capture_output=True, text=True,
            timeout=LONGEST, check=False,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        if ended.returncode or not out.is_file():
            said = ended.stderr.strip().splitlines() or ["it said nothing"]
            raise PeerError(said[-1])
        found = json.loads(out.read_text(encoding="utf-8"))
    return {"scores": scores(rows, found.pop("answers"), job["words"]), **found, "seconds": seconds}


def environment(threads: int) -> dict[str, str]:
    """Variables of a peer's process: its threads, no Hub, and this package where it is needed."""
    root = str(PEERS_FOLDER.parents[1])
    told = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **told, **offline, "PYTHONPATH": root}


def scores(rows: peer_rows.Rows, answers: list[Any], words: bool) -> dict[str, float]:
    """Macro-F1 and AUC of texts, strict span F1 of words; in both cases by this package's metrics."""
    names = rows.label_names
    if words:
        truth, said = (
            [repair_bio2([names[tag] for tag in row]) for row in side]
            for side in (rows.truth, answers)
        )
        found = span_metrics(truth, said)
        return {name: float(found[name]) for name in ("f1", "precision", "recall")}
    predicted = [max(range(len(row)), key=row.__getitem__) for row in answers]
    found = classification_metrics(rows.truth, predicted, names)
    kept = {name: float(found[name]) for name in ("macro_f1", "accuracy")}
    if len(names) == 2:
        from sklearn.metrics import roc_auc_score

        kept["auc"] = float(roc_auc_score(rows.truth, [row[1] for row in answers]))
    return kept


def code_of(peer: Peer) -> str:
    """A name for the code that is measured: the adapter, what it shares, and our package if it is ours."""
    digest = hashlib.sha256()
    for name in (peer.adapter, *SHARED):
        digest.update((PEERS_FOLDER / name).read_bytes())
    digest.update(repr((peer.requirements, peer.alone, dict(peer.settings))).encode())
    if peer.adapter == PEERS[OURS].adapter:
        digest.update(code_hash().encode())
    return digest.hexdigest()[:12]


def write_page(args: argparse.Namespace, runs_file: Path) -> None:
    """Write the page of all that was run."""
    words = [
        "python",
        "scripts/benchmark_peers.py",
        "--data",
        "DATA",
        "--environments",
        "ENVIRONMENTS",
    ]
    told = dict.fromkeys(("suite", "pairs", "seeds", "set", "methods", "peers", "encoder"))
    defaults = {"pairs": [], "set": [], "peers": list(PEERS), "encoder": SMALL, "methods": None}
    for name in told:
        value = getattr(args, name)
        if value != defaults.get(name):
            words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    text = report(read_lines(runs_file), args.encoder, shlex.join(words))
    args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    try:
        with quiet_libraries(debug=False):
            main()
    except AdaptationError as error:
        sys.exit(f"benchmark_peers: {error}")
