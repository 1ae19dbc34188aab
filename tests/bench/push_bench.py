#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same from the bindings: push_bench.py BUILD [--quick]. Runs C, Python and Go in turns and prints
medians as JSON lines; the peer of the bindings is C."""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(sys.argv[1]).resolve()
ROUNDS = 3 if "--quick" in sys.argv else 9
os.environ["STGRAPH_LIBRARY"] = str(BUILD / "lib" / "libstgraph.so")
sys.path.insert(0, str(ROOT / "bindings" / "python"))
import numpy as np  # noqa: E402
import libstgraph as sg  # noqa: E402

BATCH = 4096


def from_c():
    return float(subprocess.run([BUILD / "tests/bench/push_bench"], check=True, capture_output=True).stdout)


def from_python():
    with sg.Ingest() as ingest:
        lane = ingest.lane()
        calls = np.zeros(BATCH, sg.CALL)
        calls["end_ns"] = 1_764_000_000_000_000_000 + np.arange(BATCH)
        calls["dst"], calls["status"], calls["duration_us"] = lane.intern(sg.NODE, "web"), 200, 900
        took = []
        for _ in range(400):
            start = time.process_time_ns()
            pushed = lane.push(calls)
            took.append(time.process_time_ns() - start)
            assert pushed == BATCH
            ingest.poll()
        lane.close()
    return statistics.median(took) / BATCH


def from_go():
    env = dict(os.environ, PKG_CONFIG_PATH=str(BUILD / "meson-uninstalled"),
               LD_LIBRARY_PATH=str(BUILD / "lib"),
               CGO_CFLAGS=f"-g -O2 -I{ROOT}/include -I{BUILD}/include")
    out = subprocess.run(["go", "test", "-run", "^$", "-bench", "Push", "-benchtime", "20000000x", "./..."],
                         cwd=ROOT / "bindings" / "go", env=env, check=True, capture_output=True, text=True)
    return float(re.search(r"([\d.]+) ns/op", out.stdout)[1])


def main():
    runs = {"c": from_c, "python": from_python}
    if shutil.which("go"):
        runs["go"] = from_go
    else:
        print("go is not installed", file=sys.stderr)
    figures = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            figures[name].append(run())
    c = statistics.median(figures["c"])
    for name, values in figures.items():
        value = statistics.median(values)
        print(json.dumps({"name": f"push.{name}", "value": round(value, 3), "unit": "ns/call",
                          "peer": None if name == "c" else round(c, 3),
                          "ratio": None if name == "c" else round(c / value, 2)}))


main()
