"""A process that predicts one case after the other when it is told to, so that two tools can take turns.

It reads lines of JSON (`case`, `files`) from its standard input and answers each with one: `seconds` from reading the
image to the written label map, `cpu` processor seconds, and `peak_mb`, the most memory that the process has taken yet.
Everything else that is printed goes to standard error.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable

ANSWERS, sys.stdout = sys.stdout, sys.stderr  # before anything else can print


def answer_cases(predict: Callable[[str, list[str]], None]) -> None:
    """Say `ready`, and predict until there is no more line."""
    print("ready", file=ANSWERS, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        wall, cpu = time.perf_counter(), time.process_time()
        predict(asked["case"], asked["files"])
        told = {
            "seconds": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        print(json.dumps(told), file=ANSWERS, flush=True)
