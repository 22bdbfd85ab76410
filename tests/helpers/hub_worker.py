"""The real Hub client in a process of its own: runs what it reads, a JSON line each.

A line is `{"args": [...]}`, a command line, or `{"code": "..."}`, a program whose `answer` comes
back. Libraries read HF_ENDPOINT when they are imported, so one process serves one Hub. A push never
really waits before it tries again: the seconds that it would are reported instead.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import traceback
from types import SimpleNamespace
from typing import Any

WAITS: list[float] = []


def answer_to(request: dict[str, Any]) -> dict[str, Any]:
    out, err = io.StringIO(), io.StringIO()
    result: dict[str, Any] = {"code": 0, "answer": None}
    WAITS.clear()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if "args" in request:
            from nlp_adapt.cli import main

            result["code"] = main(request["args"])
        else:
            scope: dict[str, Any] = {}
            try:
                exec(request["program"], scope)
                result["answer"] = scope.get("answer")
            except Exception:
                traceback.print_exc()
                result["code"] = 1
    return {**result, "waits": WAITS, "out": out.getvalue(), "err": err.getvalue()}


def serve() -> None:
    lines, answers = sys.stdin, sys.stdout
    import nlp_adapt.hub.push

    nlp_adapt.hub.push.DEFAULT_RETRY = nlp_adapt.hub.push.Retry(attempts=4)
    nlp_adapt.hub.push.time = SimpleNamespace(sleep=WAITS.append)
    for line in lines:
        print(json.dumps(answer_to(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    serve()
