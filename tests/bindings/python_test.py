# SPDX-License-Identifier: Apache-2.0
"""The Python binding: arrays in and out, ownership, errors, and the incidents of the program.

usage: python_test.py BINDING LIBRARY PROGRAM RECORDINGS [NAME...]; TAP on standard output.
"""
import gc
import itertools
import json
import locale
import os
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from pathlib import Path

BINDING, LIBRARY, PROGRAM, RECORDINGS = sys.argv[1:5]
os.environ["STGRAPH_LIBRARY"] = LIBRARY
sys.path.insert(0, BINDING)

try:
    import numpy as np
except ImportError:
    print("1..0 # SKIP NumPy is not installed")
    sys.exit(0)
import libstgraph as sg
from libstgraph import _abi

sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "cli"))
from checkpoint import transparent

SECOND = 10**9
WINDOW = 5 * SECOND
START = 1_764_000_000 * SECOND
NORMAL = Path(RECORDINGS, "normal")


def raises(kind, function, /, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except kind as e:
        return e
    raise AssertionError(f"{function} did not raise {kind.__name__}")


def small_graph(builder, i, calls=10.0):
    start = START + i * WINDOW
    return builder.build(start, start + WINDOW, ["external", "web", "cart"], [0, 1, 1], [1, 2, 2],
                         routes=["GET /", "GET /cart", "POST /cart"],
                         node_columns={"calls": [np.nan, calls, calls / 2], "errors": [0, 0, 0],
                                       "mean_us": [0, 900, 400]},
                         edge_columns={"calls": [calls, calls / 4, calls / 4]})


def builder_and_views():
    with sg.GraphBuilder() as builder:
        graph = small_graph(builder, 0)
    assert graph.nodes == ["external", "cart", "web"], graph.nodes  # canonical order
    assert graph.routes[0] == "" and len(graph.routes) == 4
    assert graph.end_ns - graph.start_ns == WINDOW
    calls = graph.node("calls")
    assert np.isnan(calls[0]) and calls[graph.find("web")] == 10 and calls[graph.find("cart")] == 5
    raises(ValueError, calls.__setitem__, 0, 1.0)  # read-only
    edges = graph.edges
    assert edges["src"].dtype == np.uint32 and edges["out_ptr"].tolist() == [0, 1, 1, 3]
    assert edges["out_ptr"].shape == (4,)
    table = graph.edge_table()
    assert table["src"].tolist() == ["external", "web", "web"], table["src"]
    assert table["route"].tolist() == ["GET /", "GET /cart", "POST /cart"]
    assert graph.node_table()["node"] == graph.nodes
    raises(KeyError, graph.node, "nothing")
    raises(KeyError, graph.find, "nothing")
    assert json.loads(graph.to_json())["nodes"] and graph.to_dot().startswith("digraph")
    address = calls.__array_interface__["data"][0]
    del graph, edges
    gc.collect()
    assert calls[2] == 10 and calls.__array_interface__["data"][0] == address  # the view holds the graph


def views_outlive_close():
    with sg.GraphBuilder(snapshots=1) as builder:
        graph = small_graph(builder, 0)
        seen = graph.node("calls")
        before = seen.copy()
        graph.close()
        for i in range(1, 9):  # the pool would hand the memory out again
            small_graph(builder, i, 1000.0 + i).close()
        assert np.array_equal(seen, before, equal_nan=True), seen
        raises(ValueError, graph.node, "calls")


def after_a_fork():
    sg.Ingest().close()
    fd = sg.lane_fd(records=1024)
    child = os.fork()
    if child == 0:
        try:
            lane = sg.Lane.attach(fd)
            ok = lane.push(calls_of(lane, 10, START + WINDOW)) == 10
            lane.close()
            sg.Bundle()  # with a context of its own
            os._exit(0 if ok else 1)
        except BaseException:
            traceback.print_exc()
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with sg.Ingest(window_ns=WINDOW) as ingest:
        number = ingest.attach(fd)
        os.close(fd)
        assert ingest.close_window(START + WINDOW).edge("calls").sum() == 10
        raises(sg.NotFoundError, ingest.detach, number + 1)


def errors_travel():
    import pickle
    error = raises(sg.NotFoundError, sg.Model.load, sg.Bundle())
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and again.status == "E_NOTFOUND"
    raises(TypeError, sg.Ingest, max_node=3)
    raises(OverflowError, sg.Ingest, max_nodes=-1)
    raises(OverflowError, sg.Ingest().close_window, -5)


def builder_refuses():
    with sg.GraphBuilder() as b:
        raises(ValueError, b.build, 0, WINDOW, ["a"], [0], [1])
        raises(ValueError, b.build, 0, WINDOW, ["a", "b"], [0, 1], [1])
        raises(ValueError, b.build, 0, WINDOW, ["a", "b"], [0], [1], routes=[])
        raises(ValueError, b.build, 0, WINDOW, ["a", "b"], [0], [1], edge_columns={"calls": [1, 2]})
        raises(sg.InvalidError, b.build, 5, 5, ["a", "b"], [0], [1])
        raises(sg.InvalidError, b.build, 0, WINDOW, [""], [], [])
        raises(sg.InvalidError, b.build, 0, WINDOW, ["x" * 256], [], [])
        bytes_ = b"\xff\xfe".decode("utf-8", "surrogateescape")
        odd = b.build(0, WINDOW, ["caf\u00e9", "a\0b", bytes_], [0], [1])
        assert set(odd.nodes) >= {"caf\u00e9", "a\0b", "\udcff\udcfe"}
    raises(ValueError, b.build, 0, WINDOW, ["a"], [], [])  # closed


def sparse():
    try:
        from scipy import sparse as sp
    except ImportError:
        return "SciPy is not installed"
    matrix = sp.csr_matrix(([3.0, 4.0], ([0, 1], [1, 2])), (3, 3))
    graph = sg.GraphBuilder().from_csr(0, WINDOW, ["external", "a", "b"], matrix)
    assert (graph.to_csr().toarray() == matrix.toarray()).all()
    return None


def calls_of(lane, n, end):
    calls = np.zeros(n, sg.CALL)
    calls["end_ns"] = end - 1 - np.arange(n)[::-1]
    calls["dst"] = lane.intern(sg.NODE, "web")
    calls["route"] = lane.intern(sg.ROUTE, "GET /")
    calls["status"] = 200
    calls["duration_us"] = 800
    return calls


def ingest_and_ledger():
    assert sg.CALL.itemsize == sg.GAUGE.itemsize == 64
    with sg.Ingest(window_ns=WINDOW) as ingest:
        lane = ingest.lane()
        calls = calls_of(lane, 1000, START + WINDOW)
        assert lane.push(calls) == 1000
        raises(TypeError, lane.push, np.zeros(3))
        raises(ValueError, lane.push, calls[::2])
        gauges = np.zeros(2, sg.GAUGE)
        gauges["time_ns"], gauges["node"], gauges["open"] = START + 1, calls["dst"][0], 7
        assert lane.gauges(gauges) == 2
        assert lane.hash("10.0.0.1") == lane.hash(b"10.0.0.1") != lane.hash("10.0.0.2")
        lane.beat(START + 2)
        graph = ingest.close_window(START + WINDOW)
        assert graph.edge("calls").sum() == 1000 and graph.node("open")[graph.find("web")] == 7
        late = calls_of(lane, 5, START + WINDOW)
        lane.push(late)
        raises(sg.Error, ingest.close_window, START + WINDOW)
        ingest.close_window(np.uint64(START + 2 * WINDOW))
        stats = ingest.stats()
        assert stats["pushed"] == 1005 and stats["late"] == 5, stats
        assert stats["pushed"] == stats["windowed"] + stats["late"] + stats["refused"] + stats["waiting"]
        assert raises(sg.InvalidError, lane.intern, 9, "x").status == "E_INVALID"
    raises(ValueError, lane.push, calls)  # the ingest closed it


def any_order_of_closing():
    for _ in range(20):  # an order that frees a lane after its ingest would crash
        ingest = sg.Ingest()
        lane = ingest.lane()
        reader = sg.Reader(lane)
        ring = [ingest, lane, reader]
        ring.append(ring)  # a cycle: the collector finds its own order
        del ingest, lane, reader, ring
        gc.collect()
    ingest = sg.Ingest()
    reader = sg.Reader(ingest.lane())
    ingest.close()
    raises(ValueError, reader.feed, b"x")


def bundles():
    empty = sg.Bundle()
    assert json.loads(empty.describe())["tensors"] == []
    again = sg.Bundle(data=empty.to_bytes())
    assert again.to_bytes() == empty.to_bytes()
    raises(sg.FormatError, sg.Bundle, data=b"nonsense")
    raises(sg.Error, sg.Bundle, "/no/such/file")
    raises(sg.NotFoundError, sg.Model.load, empty)
    raises(sg.Error, empty.save, "/no/such/folder/x")
    with tempfile.TemporaryDirectory() as d:
        empty.save(Path(d, "m"))
        assert sg.Bundle(Path(d, "m")).to_bytes() == empty.to_bytes()


def forecast_and_judge():
    rng = np.random.default_rng(3)
    builder = sg.GraphBuilder(snapshots=500)
    graphs = [small_graph(builder, i, float(rng.poisson(40))) for i in range(300)]
    with sg.Trainer(kind="persistence", day_ns=600 * SECOND) as trainer:
        for g in graphs:
            trainer.add(g)
        model = trainer.run()
    assert model.info["kind"] == "persistence" and model.info["inputs"] == ["calls", "errors", "mean_us"]
    session, detector = sg.Session(model), sg.Detector(false_alarms_per_day=2)
    forecast = None
    for g in graphs:
        if forecast is not None and forecast.ready:
            assert forecast.covers(g)
            detector.learn(g, forecast)
        session.step(g)
        forecast = session.forecast(2)
    expected = forecast.node("calls", 1)
    assert expected.shape == (3,) and 20 < expected[2] < 60, expected
    assert forecast.edge("calls").shape == (3,)
    raises(KeyError, forecast.node, "nothing")
    raises(KeyError, forecast.node, "calls", 2)
    detector.fit()
    planner = sg.Planner(enforce=True)
    seen = []
    for i in range(300, 330):
        g = small_graph(builder, i, 40.0 if i < 310 else 900.0)
        report = detector.score(g, forecast)
        assert report.judged and report.mask.shape == (3,)
        for action in planner.plan(g, report, None):
            assert action.verb in ("limit", "scale", "timeout") and not action.dry_run
        seen += [i for inc in report if inc.state == "open"]
        for inc in report:
            assert inc.row()["class_name"] == inc.class_name and inc.causes and inc.text
        session.step(g, report.mask)
        forecast = session.forecast(2)
    assert seen and seen[0] >= 310, seen
    raises(ValueError, session.step, g, np.zeros(2, np.uint8))
    raises(sg.Error, session.step, graphs[0])  # time does not step back
    model2 = sg.Bundle()
    model.store(model2)
    detector.store(model2)
    assert sg.Model.load(model2).info == model.info


def training_can_be_stopped():
    rng = np.random.default_rng(4)
    builder = sg.GraphBuilder(snapshots=200)
    seen = []

    def trained(progress):
        trainer = sg.Trainer(progress=progress, day_ns=600 * SECOND, epochs=2, units=4, layers=1, seed=5)
        for i in range(120):
            trainer.add(small_graph(builder, i, float(rng.poisson(40))))
        return trainer
    assert trained(seen.append).run().info["units"] == 4
    assert seen[-1]["epoch"] <= 2 and seen[0]["batches"] > 0
    assert raises(sg.Error, trained(lambda state: True).run).status == "E_CANCELLED"
    raises(ZeroDivisionError, trained(lambda state: 1 / 0).run)
    raises(TypeError, sg.Trainer, epohcs=3)
    raises(sg.InvalidError, sg.Trainer, kind="oracle")


def shared_between_threads():
    graph = small_graph(sg.GraphBuilder(), 0)
    sums = []
    threads = [threading.Thread(target=lambda: sums.append(sum(np.nansum(graph.node("calls"))
                                                               for _ in range(2000)))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sums == [2000 * 15.0] * 4, sums


def bad_lines_are_told():
    with tempfile.TemporaryDirectory() as d:
        name = Path(d, "calls.jsonl")
        line = '{"end_ns":%d,"dst":"web","status":200}\n'
        name.write_text(line % (START + 1) + "nonsense\n" + line % (START + 2 * WINDOW))
        ingest = sg.Ingest(window_ns=WINDOW)
        import warnings
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for end, _ in sg.replay(ingest, WINDOW, name):
                ingest.close_window(end)
        assert len(told) == 1 and "line 2" in str(told[0].message), told
        assert ingest.stats()["pushed"] == 2
        name.write_text("")
        raises(sg.NotFoundError, list, sg.replay(ingest, WINDOW, name))
        name.write_text(line % (START + 1) + "nonsense\n" * 4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raises(sg.FormatError, list, sg.replay(ingest, WINDOW, name, max_bad=3))
        raises(OSError, list, sg.replay(ingest, WINDOW, name.with_name("none")))


def program(*args):
    return subprocess.run([PROGRAM, *args], check=True, capture_output=True).stdout


def same_as_the_program():
    if not (NORMAL / "calls.jsonl.xz").exists():
        return "no recordings"
    calls, gauges = str(NORMAL / "calls.jsonl.xz"), str(NORMAL / "gauges.jsonl.xz")
    old = locale.setlocale(locale.LC_NUMERIC)
    try:
        comma = locale.setlocale(locale.LC_NUMERIC, "de_DE.UTF-8")
    except locale.Error:
        comma = ""
    with tempfile.TemporaryDirectory() as d:
        theirs = Path(d, "theirs")
        program("learn", "--calls", calls, "--gauges", gauges, "--day", "600", "--out", str(theirs))
        ours = sg.learn(calls, gauges, day=600)
        assert ours.to_bytes() == theirs.read_bytes(), "the model differs"
        for name in ("attacks-a", "attacks-b"):
            files = [str(Path(RECORDINGS, name, kind + ".jsonl.xz")) for kind in ("calls", "gauges")]
            expected = program("watch", "--model", str(theirs), "--calls", files[0], "--gauges", files[1])
            assert expected.count(b"\n") > 20
            got = "".join(sg.watch(ours, *files)).encode("utf-8", "surrogateescape")
            assert got == expected, f"the incidents in {name} differ"
            print(f"# {name}: {expected.count(10)} lines, "
                  f"{'decimal comma' if comma else 'de_DE.UTF-8 not installed'}")
    locale.setlocale(locale.LC_NUMERIC, old)
    return None


def goes_on_after_a_restart():
    if not (NORMAL / "calls.jsonl.xz").exists():
        return "no recordings"
    files = [str(Path(RECORDINGS, "attacks-a", kind + ".jsonl.xz")) for kind in ("calls", "gauges")]
    normal = [str(NORMAL / f"{kind}.jsonl.xz") for kind in ("calls", "gauges")]
    bundle = sg.learn(*normal, kind="persistence", lead=3, day=600)  # three forecasts are on their way
    whole = list(sg.watch(bundle, *files))
    with tempfile.TemporaryDirectory() as d:
        state = Path(d, "state")
        for taken in (len(whole) // 3, len(whole) - 5):
            state.unlink(missing_ok=True)
            watching = sg.watch(bundle, *files, state=state, save_every=0)
            first = list(itertools.islice(watching, taken))
            watching.close()
            rest = list(sg.watch(bundle, *files, state=state))
            again = len(first) + len(rest) - len(whole)  # lines of the window that was not saved
            assert 0 <= again < 10 and first + rest[again:] == whole, (taken, again)
        # a state that belongs to another model is told, and no reason to watch nothing
        other = sg.learn(*normal, kind="persistence", day=600)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            next(sg.watch(other, *files, state=state))
        assert "begins anew" in str(told[0].message), told
    return None


def saved_states():
    with sg.GraphBuilder() as builder, sg.Trainer(kind="persistence", inputs="calls", targets="calls") as t:
        for i in range(40):
            t.add(small_graph(builder, i, 10.0 + i % 7))
        model, saved = t.run(), sg.Bundle()
        session = sg.Session(model)
        raises(sg.NotFoundError, session.restore_state, saved)
        for i in range(12):
            session.step(small_graph(builder, i, 10.0 + i % 7))
        planner, detector, ingest = sg.Planner(), sg.Detector(), sg.Ingest()
        for one in (session, t, planner, detector, ingest):
            one.save_state(saved)
        again = sg.Session(model)
        again.restore_state(sg.Bundle(data=saved.to_bytes()))
        assert session.forecast(1).node("calls").tobytes() == again.forecast(1).node("calls").tobytes()
        for one in (sg.Planner(), sg.Detector(), sg.Ingest()):
            one.restore_state(saved)
        with sg.Trainer(kind="persistence", inputs="calls", targets="calls") as later:
            later.restore_state(saved)
            ours, theirs = sg.Bundle(), sg.Bundle()
            later.run().store(ours)
            model.store(theirs)
            assert ours.to_bytes() == theirs.to_bytes()
        lane = ingest.lane()
        assert raises(sg.Error, ingest.restore_state, saved).status == "E_STATE"
        lane.close()


def checkpoints():
    raw = transparent(history=3, horizon=2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        path.write_bytes(raw)
        model = sg.Model.from_checkpoint(path, column="speed", mean=10.0, deviation=2.0)
    assert model.info["kind"] == "dcrnn_series" and model.info["inputs"] == ["speed"]
    unknown = sg.Model.from_checkpoint(raw, column="speed", window_ns=300 * 10**9, format="basicts")
    raises(sg.NotFoundError, sg.Session, unknown)
    raises(sg.Error, sg.Session, unknown, mean=1.0)
    raises(KeyError, sg.Session, model, supports="wrong")
    assert "keras" in str(raises(sg.Error, sg.Model.from_checkpoint, raw, format="keras"))
    raises(sg.FormatError, sg.Model.from_checkpoint, raw[:-1])
    raises(sg.FormatError, sg.Model.from_checkpoint, b"")
    cases = ((sg.Session(model), 10, 2), (sg.Session(model, mean=12.0, deviation=[4.0]), 12, 4),
             (sg.Session(unknown, mean=[0.0], deviation=8.0, supports="exact"), 0, 8))
    with sg.GraphBuilder() as builder:
        graphs = [builder.build(at * 300 * 10**9, (at + 1) * 300 * 10**9, ["a", "b"], [0], [1],
                                node_columns={"speed": [11.0 + at, -3.0]}) for at in range(5)]
    for session, mean, deviation in cases:
        for graph in graphs:
            session.step(graph)
        found = session.forecast(2).node("speed", 1)[[graphs[-1].find("a"), graphs[-1].find("b")]]
        wanted = 2 * np.tanh((np.array([15.0, -3.0]) - mean) / deviation) * deviation + mean
        assert np.allclose(found, wanted, atol=1e-4), (found, wanted)
    return None


def monitor_in_hand():
    if not (NORMAL / "calls.jsonl.xz").exists():
        return "no recordings"
    bundle = sg.learn(NORMAL / "calls.jsonl.xz", kind="persistence", day=600)
    with sg.Monitor(bundle, enforce=True, max_nodes=64) as monitor:
        assert monitor.graph is None and monitor.event() is None
        lane = monitor.lane()
        lane.push(calls_of(lane, 100, START + WINDOW))
        monitor.tick(START + WINDOW)
        assert monitor.graph.edge("calls").sum() == 100 and len(monitor.report) == 0
        assert len(monitor.plan) == 0 and monitor.next_forecast is not None and monitor.dropped == 0
        raises(sg.Error, monitor.tick, START + WINDOW)
        raises(TypeError, monitor.ingest.close_window, START + 2 * WINDOW)
        graph = monitor.graph
    assert graph.edge("calls").sum() == 100  # lives on
    raises(ValueError, monitor.tick, START + 2 * WINDOW)
    return None


def wrong_libraries():
    def imported(path):
        env = dict(os.environ, STGRAPH_LIBRARY=path, PYTHONPATH=BINDING)
        r = subprocess.run([sys.executable, "-c", "import libstgraph"], env=env, capture_output=True,
                           text=True)
        assert r.returncode != 0
        return r.stderr
    assert "STGRAPH_LIBRARY" in imported("/no/such/library.so")
    assert "different releases" in imported("libc.so.6")

    class Other:  # answers like a library of another release
        def __init__(self, version, wrong):
            self.version, self.wrong = version, wrong

        def stg_version(self):
            return self.version

        def stg_version_string(self):
            return b"x"

        def stg_struct_size(self, name):
            return _abi.lib.stg_struct_size(name) + (8 if name == self.wrong else 0)
    _abi._check(Other(1000, b""), "x")
    assert "version" in str(raises(ImportError, _abi._check, Other(1000000, b""), "x"))
    assert "version" in str(raises(ImportError, _abi._check, Other(999, b""), "x"))
    assert "stg_call" in str(raises(ImportError, _abi._check, Other(1000, b"call"), "x"))
    _abi._check(Other(1000, b"item"), "x")  # has grown at its end: a later 0.x


TESTS = [
    builder_and_views, views_outlive_close, after_a_fork, errors_travel, builder_refuses, sparse,
    ingest_and_ledger, any_order_of_closing, bundles,
    forecast_and_judge, training_can_be_stopped, shared_between_threads, bad_lines_are_told, monitor_in_hand,
    saved_states, checkpoints, goes_on_after_a_restart, same_as_the_program, wrong_libraries]


def main():
    chosen = [t for t in TESTS if not sys.argv[5:] or t.__name__ in sys.argv[5:]]
    failed = 0
    for i, test in enumerate(chosen, 1):
        try:
            skipped = test()
            print(f"ok {i} - {test.__name__}" + (f" # SKIP {skipped}" if skipped else ""))
        except BaseException:
            failed += 1
            print("".join("# " + line for line in traceback.format_exc().splitlines(True)))
            print(f"not ok {i} - {test.__name__}")
        sys.stdout.flush()
    print(f"1..{len(chosen)}")
    return 1 if failed else 0


sys.exit(main())
