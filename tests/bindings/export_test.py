# SPDX-License-Identifier: Apache-2.0
"""`stgraph export`: graphs of ONNX worked out in NumPy, or with --peers in ONNX Runtime, against the
forecasts of a session, for random nets of every form, a trained one and, where ../shared is there, a
published one; and the way to safetensors and back, which changes no byte.

usage: export_test.py [--peers] BINDING LIBRARY PROGRAM SHARED; TAP on standard output.
"""
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

PEERS = sys.argv[1] == "--peers"
BINDING, LIBRARY, PROGRAM, SHARED = sys.argv[1 + PEERS:]
os.environ["STGRAPH_LIBRARY"] = LIBRARY
sys.path.insert(0, BINDING)

try:
    import numpy as np
except ImportError:
    print("1..0 # SKIP NumPy is not installed")
    sys.exit(0)
import libstgraph as sg
from onnx_file import File

sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "cli"))
from checkpoint import safetensors

WINDOW = 300 * 10**9
DAY = 86400 * 10**9


def run(*args, code=0):
    r = subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True, timeout=300)
    assert r.returncode == code, (args, r.returncode, r.stdout, r.stderr)
    return r


class Runtime:
    """The same in ONNX Runtime, after ONNX's own checker."""

    def __init__(self, path):
        import onnx
        import onnxruntime
        onnx.checker.check_model(onnx.load(path), full_check=True)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 2
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.metadata = self.session.get_modelmeta().custom_metadata_map
        self.inputs = {i.name: tuple(i.shape) for i in self.session.get_inputs()}

    def run(self, **given):
        names = [o.name for o in self.session.get_outputs()]
        given = {k: np.ascontiguousarray(v, np.float32) for k, v in given.items()}
        return dict(zip(names, self.session.run(names, given)))


def opened(path):
    return Runtime(path) if PEERS else File(path.read_bytes())


def weights(dice, layers, units, copies, inputs, targets):
    tensors = {}

    def add(name, *shape, scale=1.0):
        tensors[name] = (list(shape), (scale * dice.standard_normal(shape)).ravel().tolist())
    for part, lowest in (("encoder", inputs), ("decoder", targets)):
        for layer in range(layers):
            cell = f"{part}_model.dcgru_layers.{layer}."
            rows = ((units if layer else lowest) + units) * copies
            for cols in (2 * units, units):
                add(f"{cell}gconv_weight_({rows}, {cols})", rows, cols, scale=rows ** -0.5)
                add(f"{cell}gconv_biases_{cols}", cols)
    add("decoder_model.projection_layer.weight", targets, units)
    add("decoder_model.projection_layer.bias", targets)
    return tensors


def names(count):
    return [f"n{i:03}" for i in range(count)]  # in the order of their text


def csv(values):
    rows = [names(values.shape[1])] + [[repr(float(x)) for x in row] for row in values]
    return "\n".join(map(",".join, rows))


def forecasts(model, values, links, start):
    """z-scores [horizon, nodes, targets] after the windows [time, nodes, targets]; links: rows src, dst,
    weight."""
    info = model.info
    mean, deviation = SCALE
    src, dst = links[:, 0].astype(int), links[:, 1].astype(int)
    with sg.GraphBuilder() as builder, sg.Session(model, mean=mean, deviation=deviation) as session:
        for t, row in enumerate(values):
            at = start + t * info["window_ns"]
            columns = {name: row[:, k] for k, name in enumerate(info["inputs"])}
            session.step(builder.build(at, at + info["window_ns"], names(len(row)), src, dst,
                                       node_columns=columns, edge_columns={"weight": links[:, 2]}))
        f = session.forecast(info["horizon"])
        made = np.array([[f.node(name, d)[1:] for name in info["targets"]]  # before them: external
                         for d in range(info["horizon"])])
    return (made.transpose(0, 2, 1) - mean) / deviation


SCALE = (54.0, 19.0)


def both_graphs(folder, model_path, links, values, start, time_of_day):
    """Greatest difference of sequence and step to a session; values as for forecasts()."""
    model = sg.Model.load(sg.Bundle(model_path))
    history, nodes, targets = values.shape
    series, graph = folder / "series.csv", folder / "graph.csv"
    series.write_text(csv(values[:, :, 0]) + "\n")
    graph.write_text("src,dst,w\n" + "".join(f"{int(a)},{int(b)},{float(w)!r}\n" for a, b, w in links))
    for name in ("onnx", "onnx_step"):
        run("export", "--model", model_path, "--format", name, "--out", folder / name, "--series", series,
            "--graph", graph)
    want = forecasts(model, values, links, start)
    lags = model.info["lags"]
    steps = history - lags + 1
    z = (values - SCALE[0]) / SCALE[1]
    x = np.stack([z[i:i + steps] for i in range(lags)], axis=3).reshape(steps, nodes, targets * lags)
    if time_of_day:
        day = ((start + np.arange(history) * model.info["window_ns"]) % DAY / DAY)[lags - 1:]
        x = np.concatenate([x, np.broadcast_to(day[:, None, None], (steps, nodes, 1))], axis=2)
    x = x.astype(np.float32)
    whole, step = opened(folder / "onnx"), opened(folder / "onnx_step")
    assert whole.metadata["time_of_day"] == str(int(time_of_day))
    state = {k: np.zeros(shape, np.float32) for k, shape in step.inputs.items() if k != "x"}
    for row in x:
        made = step.run(x=row, **state)
        state = {k: made[f"next_{k}"] for k in state}
    ahead = want if made["forecast"].shape == want.shape else want[0]  # without a decoder: all of it
    return max(np.abs(whole.run(x=x)["forecast"] - want).max(), np.abs(made["forecast"] - ahead).max())


def random_links(dice, nodes):
    """About three edges a node; one node has none, one only calls, one is only called."""
    a = (dice.random((nodes, nodes)) < 3 / nodes) * dice.uniform(0.1, 2, (nodes, nodes))
    a[0], a[:, 0], a[1], a[:, 2] = 0, 0, 0, 0
    a[2, 1] = a[3, 3] = a[3, 4] = 0.5
    src, dst = np.nonzero(a)
    return np.stack([src, dst, a[src, dst]], axis=1)


def random_nets():
    dice = np.random.default_rng(11)
    forms = [(f, r, k) for f in ("dual_random_walk", "random_walk", "laplacian", "laplacian_2")
             for r in ("restart", "carry", "pygt", "power") for k in (2, 3)]
    forms += [("dual_random_walk", "carry", 0), ("random_walk", "restart", 1), ("laplacian", "carry", 1)]
    worst = 0
    for i, (filter, recursion, hops) in enumerate(forms):
        layers, units, targets, time = 1 + i % 3, 4 + i % 2, 1 + i % 5 // 3, i % 2
        nodes, history, horizon = 9 + i % 4, 4 + i % 3, 3 - i % 3
        order = ("exact", "port_reversed")[i // 2 % 2]
        copies = (2 if filter == "dual_random_walk" else 1) * hops + 1
        tensors = weights(dice, layers, units, copies, targets + time, targets)
        meta = {"model/filter_type": filter, "stgraph/recursion": recursion, "stgraph/supports": order,
                "model/seq_len": str(history), "model/horizon": str(horizon)}
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "net").write_bytes(safetensors(tensors, meta))
            run("import", folder / "net", "--out", folder / "m", "--mean", SCALE[0], "--std", SCALE[1])
            values = SCALE[0] + SCALE[1] * dice.standard_normal((history, nodes, targets))
            d = both_graphs(folder, folder / "m", random_links(dice, nodes), values, 7 * WINDOW, time)
            assert d < 1e-5, (filter, recursion, hops, order, layers, d)
            worst = max(worst, d)
            run("export", "--model", folder / "m", "--format", "dcrnn_pytorch", "--out", folder / "p")
            run("import", folder / "p", "--out", folder / "again")
            assert (folder / "m").read_bytes() == (folder / "again").read_bytes(), (filter, recursion)
    print(f"# worst difference in z-scores {worst:.1e}")
    return None


def trained_net():
    dice = np.random.default_rng(3)
    links = random_links(dice, 12)
    values = np.cumsum(dice.standard_normal((200, 12)), axis=0) + 50
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "s.csv").write_text(csv(values) + "\n")
        (folder / "g.csv").write_text("s,d,w\n" + "".join(f"{int(a)},{int(b)},{w}\n" for a, b, w in links))
        for form in ((), ("--decoder", "direct"), ("--filter", "laplacian", "--hops", 3),
                     ("--decoder", "direct_relu", "--lags", 3, "--no-time", "--recursion", "pygt")):
            run("train", "--series", folder / "s.csv", "--graph", folder / "g.csv", "--out", folder / "m",
                "--history", 6, "--horizon", 4, "--units", 8, "--epochs", 2, *form)
            d = both_graphs(folder, folder / "m", links, values[100:106, :, None], 40 * WINDOW,
                            "--no-time" not in form)
            assert d < 1e-5, (form, d)
            port = ("export", "--model", folder / "m", "--format", "dcrnn_pytorch", "--out", folder / "p")
            if "--decoder" in form:
                assert "without a decoder" in run(*port, code=1).stderr
                continue
            run(*port)
            run("import", folder / "p", "--out", folder / "again")
            run("export", "--model", folder / "again", "--format", "dcrnn_pytorch", "--out", folder / "p2")
            assert (folder / "p").read_bytes() == (folder / "p2").read_bytes()  # m knows names too
    return None


def published_net():
    """METR-LA's week, as a session and as the code that trained it have it."""
    golden, traffic = Path(SHARED, "golden", "dcrnn"), Path(SHARED, "data", "traffic")
    if not golden.exists() or not traffic.exists():
        return "no golden files"
    global SCALE
    kept, SCALE = SCALE, (54.40592829587626, 19.493739270573094)
    speed = np.loadtxt(traffic / "los_speed.csv", delimiter=",", skiprows=1)
    links = np.loadtxt(traffic / "metr_la_edges.csv", delimiter=",", skiprows=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run("import", golden / "ckpt" / "garygsw_models2_epo49.tar", "--out", folder / "m", "--mean",
            SCALE[0], "--std", SCALE[1])
        at = 643
        d = both_graphs(folder, folder / "m", links, speed[at:at + 12, :, None], at * WINDOW, True)
        print(f"# METR-LA, 2 x 64: {d:.1e}")
        assert d < 1e-5, d
        run("export", "--model", folder / "m", "--format", "dcrnn_pytorch", "--out", folder / "p")
        if PEERS:
            from safetensors.numpy import load_file
            ours, theirs = load_file(folder / "p"), load_file(golden / "metr_la_weights.safetensors")
            assert ours.keys() == theirs.keys()
            assert all(np.array_equal(ours[k], theirs[k]) for k in ours)
    SCALE = kept
    return None


def refused():
    dice = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        net, out, series = folder / "net", folder / "out", folder / "s.csv"
        net.write_bytes(safetensors(weights(dice, 1, 3, 5, 1, 1), {}))
        series.write_text("a,b\n1,2\n")
        (folder / "g.csv").write_text("s,d\n0,7\n")
        base = ("export", "--model", net, "--out", out)

        def says(text, *args, code=1):
            r = run(*args, code=code)
            assert text in r.stderr and r.stdout == "" and not out.exists(), (text, r)
        says("are needed", *base, code=2)
        says("no format 'tf'", *base, "--format", "tf", code=2)
        says("is for ONNX", *base, "--format", "onnx", code=2)
        says("is for ONNX", *base, "--format", "dcrnn_pytorch", "--series", series, code=2)
        says("give --graph", *base, "--format", "onnx", "--series", series)
        says("not a column", *base, "--format", "onnx", "--series", series, "--graph", folder / "g.csv")
        wide = folder / "wide.csv"
        wide.write_text(",".join(names(8193)) + "\n" + ",".join(["0"] * 8193) + "\n")
        says("more than 8192 nodes", *base, "--format", "onnx", "--series", wide, "--graph", folder / "g.csv")
        says("No such file", *base[:4], folder / "no" / "x", "--format", "dcrnn_pytorch")
        (folder / "g.csv").write_text("s,d\n0,1\n")
        says("No such file", *base[:4], folder / "no" / "x", "--format", "onnx", "--series", series,
             "--graph", folder / "g.csv")
        said = run(*base, "--format", "dcrnn_pytorch").stderr
        assert "exact supports" in said and "recursion" not in said, said
        said = run(*base, "--format", "dcrnn_pytorch", "--supports", "port_reversed").stderr
        assert said == "", said
        simple = sg.Trainer(kind="persistence", history=2)
        with sg.GraphBuilder() as b:
            for i in range(4):
                simple.add(b.build(i * WINDOW, (i + 1) * WINDOW, ["a"], [], [], node_columns={
                    "calls": [1.0], "errors": [0.0], "mean_us": [1.0]}))
        bundle = sg.Bundle()
        simple.run().store(bundle)
        bundle.save(folder / "simple")
        out.unlink()
        says("kind persistence", "export", "--model", folder / "simple", "--out", out, "--format",
             "dcrnn_pytorch")
    return None


TESTS = [random_nets, trained_net, published_net, refused]


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
