#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does a state that is carried on for long cost anything? stateful.py PROGRAM RECORDING [SEEDS [EPOCHS]]

RECORDING is a folder of examples/data or of the testbed's recorder. Calls a second and service become a
series, who called whom in its first four fifths the graph. On these a net is trained twice for each
seed, with the same epochs: on windows alone, judged as an exact session, and with warm-up, judged as one
stateful session without a reset. Both are judged on the last fifth, repeated until it has 10,000 rows and
more: a recording is shorter than that, so a jump stands where it begins again. The nets do not know the
time of day, which would jump too. Printed are the mean absolute errors over all horizons, their ratios, and
the upper end of the ratio's 95 % confidence interval (Student's t over the seeds); exit code 1 when that is
above 1.02.
"""
import json
import lzma
import math
import statistics
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

ROWS, BOUND = 10000, 1.02
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
NET = ("--history", 12, "--horizon", 3, "--units", 8, "--layers", 1, "--hops", 1, "--batch", 32,
       "--rate", 0.01, "--patience", 100, "--no-time")
WARMUP = 60


def read(folder):
    """Calls by second and callee, calls by caller and callee; the first and last second are cut off."""
    seconds, pairs = defaultdict(Counter), defaultdict(Counter)
    with lzma.open(folder / "calls.jsonl.xz", "rt") as file:
        for line in file:
            call = json.loads(line)
            if call["side"] != "server":  # each call is told by both its ends
                continue
            second = call["end_ns"] // 10 ** 9
            seconds[second][call["dst"]] += 1
            pairs[second][call["src"], call["dst"]] += 1
    first, last = min(seconds) + 1, max(seconds) - 1
    names = sorted({name for c in seconds.values() for name in c})
    return names, [seconds[s] for s in range(first, last)], [pairs[s] for s in range(first, last)]


def write_series(path, names, rows):
    text = [",".join(names)] + [",".join(str(row[name]) for name in names) for row in rows]
    path.write_text("\n".join(text) + "\n")


def run(program, *args):
    done = subprocess.run([program, *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{args}: {done.stderr}")
    return done.stdout


def mae(program, *args):
    lines = map(json.loads, run(program, "eval", "forecast", *args, "--null", "none", "--json").splitlines())
    return statistics.mean(x["value"] for x in lines if x["metric"] == "mae")


def main():
    program, folder = sys.argv[1], Path(sys.argv[2])
    seeds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    epochs = int(sys.argv[4]) if len(sys.argv) > 4 else 20
    names, rows, pairs = read(folder)
    cut = len(rows) * 4 // 5
    calls = sum(pairs[:cut], Counter())
    ratios = []
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary)
        write_series(path / "train", names, rows[:cut])
        tail = rows[cut:]
        times = math.ceil(ROWS / len(tail)) + 1
        write_series(path / "test", names, tail * times)
        (path / "graph").write_text("src,dst,weight\n" + "".join(
            f"{a},{b},{n}\n" for (a, b), n in sorted(calls.items()) if a in names and a != b))
        print(f"{len(names)} services, trained on {cut} s, judged on {len(tail)} s {times} times, "
              f"{epochs} epochs, warm-up {WARMUP}")
        for seed in range(seeds):
            found = {}
            for what, warmup, mode in (("windows", (), "exact"),
                                       ("warm-up", ("--warmup", WARMUP), "stateful")):
                run(program, "train", "--series", path / "train", "--graph", path / "graph", "--split",
                    "0.8,0.2,0", "--out", path / what, "--seed", seed, "--epochs", epochs, *NET, *warmup)
                found[what] = mae(program, "--model", path / what, "--series", path / "test", "--graph",
                                  path / "graph", "--mode", mode)
            ratios.append(found["warm-up"] / found["windows"])
            print(f"seed {seed}: windows {found['windows']:.4f}, carried on {found['warm-up']:.4f}, "
                  f"ratio {ratios[-1]:.4f}", flush=True)
    mean = statistics.mean(ratios)
    upper = mean + STUDENT[seeds] * statistics.stdev(ratios) / math.sqrt(seeds)
    print(f"ratio {mean:.4f}, upper end of its 95 % interval {upper:.4f}, to be at most {BOUND}")
    return upper > BOUND


if __name__ == "__main__":
    sys.exit(main())
