# SPDX-License-Identifier: Apache-2.0
"""`stgraph import`, `train` and `eval forecast`: metrics against an own computation on a net whose
forecasts are known in closed form; what is refused; and, where ../shared is there, the published
checkpoints on a real week of METR-LA, which have to give the errors of the code they come from.

usage: forecast_test.py PROGRAM SHARED; TAP on standard output.
"""
import json
import math
import random
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from checkpoint import safetensors, transparent

PROGRAM, SHARED = sys.argv[1], Path(sys.argv[2])
HISTORY, HORIZON, WINDOW, DAY = 3, 2, 300, 86400
METR = ("--mean", "54.40592829587626", "--std", "19.493739270573094", "--stride", "9")


def run(*args, code=0):
    r = subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True, timeout=1500)
    assert r.returncode == code, (args, r.returncode, r.stdout, r.stderr)
    return r


def lines(*args):
    """(horizon, metric) -> value."""
    out = [json.loads(x) for x in run("eval", "forecast", *args, "--json").stdout.splitlines()]
    assert all(set(x) == {"horizon", "metric", "value"} for x in out)
    return {(x["horizon"], x["metric"]): x["value"] for x in out}


def metrics(pairs):
    errors = [abs(f - y) for f, y in pairs]
    return {"mae": sum(errors) / len(errors),
            "rmse": math.sqrt(sum(e * e for e in errors) / len(errors)),
            "mape": 100 * sum(e / abs(y) for e, (_, y) in zip(errors, pairs)) / len(errors)}


class Files:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.folder.cleanup()

    def file(self, name, content):
        path = self.path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def series(self, rows):
        lines = ["a, b,c"] + [",".join("" if x is None else repr(x) for x in row) for row in rows]
        return self.file("series.csv", "\r\n".join(lines) + "\n")


def made_up_rows(count):
    """Three nodes; some values are missing, some are the null value."""
    dice = random.Random(5)
    rows = [[20 + 5 * math.sin(t / 9) + dice.random(), -7 - dice.random(), 3 * dice.random()]
            for t in range(count)]
    rows[11][0] = rows[30][2] = 0.0
    rows[17][1] = rows[40][0] = None
    return rows


def expected(rows, first, stride, mean, deviation, time=False, null=0.0):
    """By the closed form: per horizon, ours and persistence."""
    ours = [[] for _ in range(HORIZON)]
    last = [[] for _ in range(HORIZON)]
    for window in range(first, len(rows) - HISTORY - HORIZON + 1, stride):
        at = window + HISTORY - 1
        for node in range(3):
            x = rows[at][node]
            z = 0.0 if x is None else (x - mean) / deviation
            if time:
                z = at * WINDOW % DAY / DAY
            forecast = 2 * math.tanh(z) * deviation + mean
            if all(rows[r][node] is None for r in range(first, at + 1)):
                forecast = None
            for step in range(HORIZON):
                y = rows[at + 1 + step][node]
                if y is None or y == null:
                    continue
                ours[step].append((forecast, y))
                if x is not None:
                    last[step].append((x, y))
    return [(metrics(o), metrics(p)) for o, p in zip(ours, last)]


def compare(found, wanted):
    assert len(found) == 6 * HORIZON, found
    for step, (ours, last) in enumerate(wanted, 1):
        for name in ("mae", "rmse", "mape"):
            assert abs(found[step, name] / ours[name] - 1) < 1e-5, (step, name, found, ours)
            assert abs(found[step, "persistence_" + name] / last[name] - 1) < 1e-6, (step, name, found, last)


def closed_form():
    rows = made_up_rows(60)
    with Files() as f:
        series, model = f.series(rows), f.file("net.safetensors", transparent(HISTORY, HORIZON))
        scale = ("--mean", "4", "--std", "12.5")
        base = ("--model", model, "--series", series)
        compare(lines(*base, *scale), expected(rows, 0, 1, 4, 12.5))
        compare(lines(*base, *scale, "--stride", 7), expected(rows, 0, 7, 4, 12.5))
        some = [[1.5 if x == 0 else x for x in row] for row in rows]
        compare(lines("--model", model, "--series", f.series(some), *scale, "--null", "1.5"),
                expected(some, 0, 1, 4, 12.5, null=1.5))
        f.series(rows)
        out = run("import", model, "--out", f.path / "m.stg", *scale)
        assert out.stdout == "" and out.stderr == "", out
        compare(lines("--model", f.path / "m.stg", "--series", series), expected(rows, 0, 1, 4, 12.5))
        clock = f.file("clock.safetensors", transparent(HISTORY, HORIZON, time=True))
        compare(lines("--model", clock, "--series", series, *scale),
                expected(rows, 0, 1, 4, 12.5, time=True))
    return None


def splits():
    """Test is the end of the series; without a scale the training windows give it, each value as often as
    it is in one."""
    rows = made_up_rows(64)
    windows = len(rows) - HISTORY - HORIZON + 1
    test, train = round(0.2 * windows), round(0.7 * windows)
    seen = [x for w in range(train) for r in range(HISTORY) for x in rows[w + r] if x is not None]
    mean = sum(seen) / len(seen)
    deviation = math.sqrt(sum((x - mean) ** 2 for x in seen) / len(seen))
    with Files() as f:
        series, model = f.series(rows), f.file("net.safetensors", transparent(HISTORY, HORIZON))
        base = ("--model", model, "--series", series, "--split", "0.7,0.1,0.2")
        compare(lines(*base), expected(rows, windows - test, 1, mean, deviation))
        compare(lines(*base, "--mean", 4, "--std", 2), expected(rows, windows - test, 1, 4, 2))
        table = run("eval", "forecast", *base).stdout
        assert f"{test} windows of 3 nodes, 300 s each" in table and "persistence" in table, table
    return None


def refused():
    rows = made_up_rows(50)
    net = transparent(HISTORY, HORIZON)
    with Files() as f:
        series, model = f.series(rows), f.file("net.safetensors", net)
        scale = ("--mean", "4", "--std", "2")

        def says(text, *args, code=1, model=model, series=series):
            r = run("eval", "forecast", "--model", model, "--series", series, *args, code=code)
            assert text in r.stderr and r.stdout == "", (text, r)
        says("give --mean and --std, or --split")
        says("go together", "--mean", "4", code=2)
        says("--std: '0'", "--std", "0", code=2)
        says("add up to 0.9", "--split", "0.7,0.1,0.1", code=2)
        says("three shares", "--split", "0.7,0.3", code=2)
        says("nothing is left", "--split", "0.9,0.1,0", *scale)
        says("neither exact nor", "--supports", "wrong", code=2)
        says("does not belong there", "more", code=2)
        says("No such file", *scale, series=f.path / "none.csv")
        says("line 3: not as many", *scale, series=f.file("x.csv", "a,b\n1,2\n3\n"))
        says("line 2: a field is not a number", *scale, series=f.file("x.csv", "a,b\n1,x\n"))
        says("line 1: no window", *scale, series=f.file("x.csv", "a,b\n"))
        says("line 0: there is no line", *scale, series=f.file("x.csv", ""))
        says("but history and horizon take 5", *scale, series=f.file("x.csv", "a\n1\n2\n3\n4\n"))
        for text, content in (("line 2: an end is not", "src,dst\na,d\n"), ("line 2: an end", "s,d\n0,3\n"),
                              ("line 2: not src,dst", "s,d\na\n"), ("below zero", "s,d,w\na,b,-1\n"),
                              ("not a number", "s,d,w\na,b,x\n"), ("not as large", "0,1\n1,0\n"),
                              ("too few rows", "0,1,1\n1,0,1\n"), ("empty", "")):
            says(text, *scale, "--graph", f.file("g.csv", content))
        for cut in (0, 7, 40, len(net) - 1):
            says("", *scale, model=f.file("cut", net[:cut]))
        nan = transparent(HISTORY, HORIZON).replace(b"\x00\x00\x80\x3f", b"\x00\x00\xc0\x7f")
        says("not usable", *scale, model=f.file("nan", nan))
        stranger = f.file("stranger", safetensors({"layer.weight": ([1], [1.0])}, {}))
        says("there is no tensor encoder_model", *scale, model=stranger)
        run("import", model, code=2)
        run("import", model, "--out", f.path / "m", "--mean", 1, code=2)
        run("import", model, "--out", f.path / "m", "--filter", "x", code=1)
        assert not (f.path / "m").exists()
        run("import", model, "--out", f.path / "m")
        told = run("inspect", f.path / "m").stdout
        assert "kind        dcrnn_series" in told and \
            "supports    dual_random_walk, port_reversed; chains carry" in told, told
        assert "already" in run("import", f.path / "m", "--out", f.path / "n", code=1).stderr
    return None


def graphs_of_all_forms():
    """The same graph as names, as numbers and as a matrix gives the same forecasts, another one not."""
    rows = made_up_rows(50)
    tensors = {}
    dice = random.Random(9)
    for part, inputs in (("encoder", 1), ("decoder", 1)):
        cell, wide = f"{part}_model.dcgru_layers.0.", (inputs + 2) * 3
        for cols in (4, 2):
            numbers = [dice.random() - 0.5 for _ in range(wide * cols)]
            tensors[f"{cell}gconv_weight_({wide}, {cols})"] = ([wide, cols], numbers)
            tensors[f"{cell}gconv_biases_{cols}"] = ([cols], [0.5] * cols)
    tensors["decoder_model.projection_layer.weight"] = ([1, 2], [1.0, -1.0])
    tensors["decoder_model.projection_layer.bias"] = ([1], [0.0])
    with Files() as f:
        model, series = f.file("net", safetensors(tensors, {})), f.series(rows)
        base = ("--model", model, "--series", series, "--mean", 1, "--std", 5)
        assert "give --graph" in run("eval", "forecast", *base, code=1).stderr
        names = lines(*base, "--graph", f.file("g1", "src,dst,weight\na,b,2\nb,c,0.5\na,c,1\nc,c,3\n"))
        numbers = lines(*base, "--graph", f.file("g2", "from,to,w\n0,1,2\n0,2,1\n1,2,0.5\n2,2,3\n"))
        matrix = lines(*base, "--graph", f.file("g3", "0,2,1\n0,0,0.5\n0,0,3\n"))
        turned = lines(*base, "--graph", f.file("g4", "0,0,0\n2,0,0\n1,0.5,3\n"))
        port = lines(*base, "--graph", f.path / "g1", "--supports", "port_reversed")
        assert names == numbers == matrix and names != turned and names != port
    return None


def flowing_rows(count, dice):
    """Four nodes; what one has next is what the two before it had, and chance."""
    x, rows = [dice.gauss(0, 1) for _ in range(4)], []
    for _ in range(count):
        x = [0.6 * x[i - 1] + 0.3 * x[i - 2] + dice.gauss(0, 0.25) for i in range(4)]
        rows.append([round(50 + 10 * v, 4) for v in x])
    return rows


def training():
    """Better than persistence and than a net without the graph; the test part is not looked at; threads
    change no byte."""
    rows = flowing_rows(360, random.Random(3))
    header, split = "a,b,c,d\n", ("--split", "0.6,0.2,0.2")
    small = ("--history", 4, "--horizon", 2, "--layers", 1, "--units", 8, "--rate", 0.01, "--epochs", 12,
             "--batch", 8, "--hops", 1)

    def text(rows):
        return header + "".join(",".join(map(str, row)) + "\n" for row in rows)
    with Files() as f:
        series = f.file("s.csv", text(rows))
        graph = f.file("g.csv", "src,dst,w\na,b,2\nb,c,2\nc,d,2\nd,a,2\na,c,1\nb,d,1\nc,a,1\nd,b,1\n")
        base = ("--series", series, "--graph", graph, *split)
        said = run("train", *base, "--out", f.path / "m", *small)
        assert said.stdout == "" and "trained in" in said.stderr, said
        run("train", "--series", series, *split, "--out", f.path / "alone", *small)
        found = lines("--model", f.path / "m", *base)
        alone = lines("--model", f.path / "alone", "--series", series, *split)
        for horizon, share in ((1, 0.8), (2, 0.92)):
            assert found[horizon, "mae"] < share * alone[horizon, "mae"], (found, alone)
            assert found[horizon, "mae"] < 0.8 * found[horizon, "persistence_mae"], found
        refused = run("eval", "forecast", "--model", f.path / "m", *base, "--mode", "stateful", code=1)
        assert "--warmup" in refused.stderr, refused.stderr
        run("train", *base, "--out", f.path / "w", *small, "--warmup", 12, "--cell", "dclstm", "--no-time")
        told = run("inspect", f.path / "w").stdout
        assert "dclstm" in told and "may be carried on" in told and "not known" in told, told
        exact = lines("--model", f.path / "w", *base)
        carried = lines("--model", f.path / "w", *base, "--mode", "stateful")
        assert carried != exact and carried[1, "mae"] < 0.8 * carried[1, "persistence_mae"], carried
        model = (f.path / "m").read_bytes()
        windows = len(rows) - 4 - 2 + 1
        first = windows - round(0.2 * windows) + 4  # row of the first label that is judged
        for at, same in ((first, True), (150, False)):
            other = [list(row) for row in rows]
            for row in other[at:]:
                row[:] = [-3, 1e9, 0, 7]
            f.file("s.csv", text(other))
            run("train", *base, "--out", f.path / "again", *small, "--threads", 2)
            assert ((f.path / "again").read_bytes() == model) == same, at
        f.file("s.csv", text(rows))
        run("train", *base, "--out", f.path / "again", *small, "--seed", 1)
        assert (f.path / "again").read_bytes() != model
        for words, code, more in (("leave none to train on", 1, ("--split", "0,0,1")),
                                  ("leave none to train on", 1, ("--split", "1,0,0")),
                                  ("leave none", 1, ("--history", 300, "--horizon", 300)),
                                  ("--units: '0'", 2, ("--units", 0)), ("--rate", 2, ("--rate", "nan")),
                                  ("is not the name", 2, ("--column", "a,b")),
                                  ("does not belong", 2, ("more",))):
            r = run("train", *base, "--out", f.path / "none", *small, *more, code=code)
            assert words in r.stderr, (words, r)
        assert not (f.path / "none").exists()
    return None


def published_checkpoints():
    """All of the week's 222 windows that start at every ninth row."""
    folder, traffic = SHARED / "golden" / "dcrnn" / "ckpt", SHARED / "data" / "traffic"
    if not folder.exists() or not traffic.exists():
        return "no golden files"
    base = ("--series", traffic / "los_speed.csv", "--graph", traffic / "metr_la_edges.csv", *METR)
    for name, options, wanted in (
            ("garygsw_models2_epo49.tar", (), (2.473, 2.803, 3.075)),
            ("garygsw_models2_epo49.tar", ("--supports", "exact"), (3.376, 4.293, 5.234)),
            ("kevinkbc_models_epo64.tar", (), (2.735, 3.171, 3.640)),
            ("kevinkbc_models_epo64.tar", ("--supports", "exact"), (2.853, 3.446, 4.177))):
        found = lines("--model", folder / name, *base, *options)
        for horizon, mae in zip((3, 6, 12), wanted):
            assert abs(found[horizon, "mae"] - mae) <= 0.001, (name, options, horizon, found)
        for horizon, mae in zip((3, 6, 12), (3.204, 3.873, 4.874)):
            assert abs(found[horizon, "persistence_mae"] - mae) <= 0.001, found
    return None


TESTS = [closed_form, splits, refused, graphs_of_all_forms, training, published_checkpoints]


def main():
    failed = 0
    print(f"1..{len(TESTS)}")
    for number, test in enumerate(TESTS, 1):
        try:
            skip = test()
            print(f"ok {number} - {test.__name__}" + (f" # SKIP {skip}" if skip else ""), flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {test.__name__}", flush=True)
            traceback.print_exc()
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
