#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program as its users call it: learn, watch, graph, inspect, eval, and every kind of mistake.

usage: cli_test.py PROGRAM MAKE_CALLS (prints TAP)
"""
import json
import lzma
import os
import subprocess
import sys
import tempfile

PROGRAM, MAKE = sys.argv[1], sys.argv[2]
count = 0
failed = 0


def check(name, ok, detail=""):
    global count, failed
    count += 1
    failed += not ok
    print(("ok" if ok else "not ok"), count, "-", name)
    if not ok and detail:
        print("# " + str(detail)[-800:].replace("\n", "\n# "))


def run(*args, stdin=None, env=None):
    return subprocess.run([PROGRAM, *args], input=stdin, capture_output=True, text=True, timeout=300,
                          env={**os.environ, **(env or {})}, check=False)


def usage_and_mistakes(tmp):
    r = run()
    check("no command: usage on standard error, exit 2", r.returncode == 2 and "Usage:" in r.stderr)
    for command in ("learn", "watch", "top", "report", "graph", "inspect", "eval"):
        r = run(command, "--help")
        check(f"{command} --help", r.returncode == 0 and r.stdout.startswith("Usage: stgraph " + command))
        r = run(command, "--no-such-option")
        check(f"{command}: unknown option, exit 2", r.returncode == 2 and "--help" in r.stderr, r.stderr)
    r = run("--version")
    check("--version", r.returncode == 0 and r.stdout.startswith("stgraph 0."))
    r = run("fly")
    check("unknown command, exit 2", r.returncode == 2 and "'fly'" in r.stderr)
    r = run("learn", "--calls", tmp + "/none.jsonl", "--out", tmp + "/m")
    check("missing file is named, exit 1", r.returncode == 1 and "none.jsonl: No such file" in r.stderr)
    r = run("learn", "--calls", "-", "--window", "soon", "--out", tmp + "/m")
    check("a window that is no number, exit 2", r.returncode == 2 and "'soon'" in r.stderr)
    r = run("watch", "--model", tmp + "/none.stg", "--calls", "-", stdin="")
    check("missing model is named, exit 1", r.returncode == 1 and "none.stg" in r.stderr)
    with open(tmp + "/junk.stg", "wb") as f:
        f.write(b"\xff" * 100)
    r = run("inspect", tmp + "/junk.stg")
    check("a model file that is none, exit 1", r.returncode == 1 and "junk.stg" in r.stderr, r.stderr)
    r = run("graph", "--calls", "-", stdin="{\"end_ns\":1,\"dst\":\"a\"}\n{nonsense}\n")
    check("a bad line is named with its number", "-:2: " in r.stderr, r.stderr)
    r = run("graph", "--calls", "-", stdin="")
    check("no calls, exit 1", r.returncode == 1 and "no calls" in r.stderr, r.stderr)
    r = run("graph", "--calls", "-", "--format", "png", stdin="")
    check("unknown format, exit 2", r.returncode == 2 and "png" in r.stderr)


def learn(tmp, kind, *more):
    model = f"{tmp}/{kind}.stg"
    r = run("learn", "--calls", tmp + "/normal/calls.jsonl", "--gauges", tmp + "/normal/gauges.jsonl",
            "--window", "5", "--day", "300", "--kind", kind, "--out", model, *more)
    check(f"learn --kind {kind}", r.returncode == 0 and os.path.exists(model), r.stderr)
    r = run("inspect", model)
    check(f"inspect {kind}", r.returncode == 0 and kind in r.stdout, r.stdout + r.stderr)
    r = run("inspect", "--json", model)
    check(f"inspect --json {kind}", r.returncode == 0 and "tensors" in json.loads(r.stdout))
    return model


def watch(tmp, model):
    files = ("--calls", tmp + "/attack/calls.jsonl", "--gauges", tmp + "/attack/gauges.jsonl")
    r = run("watch", "--model", model, *files)
    events = [json.loads(line) for line in r.stdout.splitlines()]
    check("watch: every line is JSON", r.returncode == 0 and len(events) > 0, r.stderr)
    keys = {"id", "state", "opened", "class", "confidence", "severity", "nodes", "edges", "root_cause",
            "evidence", "plan"}
    check("watch: events have their members", all(keys <= set(e) for e in events), events[:1])
    opens = [e for e in events if e["state"] == "open" and
             600e9 <= e["opened_ns"] - 1_764_000_000 * 10**9 <= 690e9]
    causes = [json.dumps(c) for e in opens for c in e["root_cause"][:3]]
    check("watch: the flood opens an incident that names search", any("search" in c for c in causes), events)
    for env in ({"LC_ALL": "de_DE.UTF-8"}, {"LC_NUMERIC": "de_DE"}):
        s = run("watch", "--model", model, *files, env=env)
        check(f"watch: the same under {env}", s.stdout == r.stdout)
    with open(tmp + "/attack/calls.jsonl", encoding="utf-8") as f:
        text = f.read()
    s = run("watch", "--model", model, "--calls", "-", *files[2:], "--grace", "0", stdin=text)
    check("watch: the same from standard input", s.stdout == r.stdout, s.stderr)
    with lzma.open(tmp + "/attack/packed.jsonl.xz", "wt", preset=0) as f:
        f.write(text)
    s = run("watch", "--model", model, "--calls", tmp + "/attack/packed.jsonl.xz", *files[2:])
    check("watch: the same from a packed file", s.stdout == r.stdout, s.stderr)
    s = run("watch", "--model", model, *files, "--human")
    check("watch --human", s.returncode == 0 and "OPEN" in s.stdout and "cause 1" in s.stdout, s.stdout)
    s = run("watch", "--model", model, "--calls", tmp + "/attack/calls.jsonl", "--false-alarms-per-day", "0")
    check("watch: no false alarms at all is refused", s.returncode == 2)


def waits_too_long(tmp, model):
    """Later windows have to wait in the lane: a grace that is too long for it is told, no line is lost in
    silence."""
    with open(tmp + "/ahead.jsonl", "w", encoding="utf-8") as f:
        for i in range(80000):
            f.write('{"end_ns":%d,"dst":"%s","status":200}\n' % (
                1_764_000_000_000_000_000 + i * 30_000_000, "web" if i < 75000 else f"late-{i % 50}"))
    files = ("watch", "--model", model, "--calls", tmp + "/ahead.jsonl")
    r = run(*files, "--grace", "3600")
    check("watch: a grace beyond the lane, exit 1", r.returncode == 1 and "--grace" in r.stderr, r.stderr)
    check("watch: a grace within it", run(*files, "--grace", "10").returncode == 0)


def graph(tmp):
    calls = ("--calls", tmp + "/attack/calls.jsonl")
    r = run("graph", *calls, "--format", "json", "--window", "60", "--at", "1764000130")
    g = json.loads(r.stdout)
    check("graph --at as JSON", g["start_ns"] <= 1764000130e9 < g["end_ns"], r.stderr)
    edges = {(e["src"], e["dst"], e["route"]): e for e in g["edges"]}
    check("graph: edges with calls", edges[("edge", "web", "GET /")]["calls"] > 50, list(edges))
    r = run("graph", *calls)
    check("graph as DOT", r.stdout.startswith("digraph") and r.stdout.rstrip().endswith("}"))
    r = run("graph", *calls, "--at", "1000000000")
    check("graph: no such window, exit 1", r.returncode == 1 and "no calls at" in r.stderr, r.stderr)


def report(tmp, model):
    page = tmp + "/page.html"
    files = ("--calls", tmp + "/attack/calls.jsonl", "--gauges", tmp + "/attack/gauges.jsonl")
    r = run("report", "--model", model, *files, "--out", page, "--title", "a <b> & c")
    check("report", r.returncode == 0 and "windows" in r.stderr, r.stderr)
    with open(page, encoding="utf-8") as f:
        text = f.read()
    check("report: the title is escaped", "<title>a &lt;b> &amp; c</title>" in text)
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    windows = len(data["start_ms"])
    series = [e[k] for e in data["nodes"] + data["edges"] for k in ("seen", "forecast")]
    check("report: all series have one value a window", windows > 10 and len(series) > 4 and
          all(len(s) == windows for s in series) and len(data["evidence"]) == windows)
    watched = run("watch", "--model", model, *files).stdout.splitlines()
    check("report: the events of watch", data["events"] == [json.loads(line) for line in watched])
    outside = [e["seen"] for e in data["edges"] if e["name"][0] == "external"]
    check("report: calls are counted", sum(v or 0 for s in outside for v in s) > 100)
    r = run("report", "--model", model, *files, "--out", tmp + "/none/page.html")
    check("report: a folder that is not there, exit 1", r.returncode == 1 and "none" in r.stderr)


def evaluate(tmp, model, other):
    args = ("eval", "recording", tmp + "/attack", "--model", model, "--compare", "other=" + other)
    r = run(*args)
    check("eval", r.returncode == 0 and "attacks found" in r.stdout and "rule_3sigma" in r.stdout, r.stderr)
    r = run(*args, "--json")
    rows = [json.loads(line) for line in r.stdout.splitlines()]
    found = [x for x in rows if (x["method"], x["metric"], x["part"]) == ("stgraph", "recall_ge1", "all")]
    check("eval --json: the flood is found", found and found[0]["value"] == 1, rows)
    r = run("eval", "recording", tmp, "--model", model)
    check("eval without a truth, exit 1", r.returncode == 1 and "truth.jsonl" in r.stderr, r.stderr)


def main():
    with tempfile.TemporaryDirectory() as tmp:
        subprocess.run([sys.executable, MAKE, tmp + "/normal", "1", "40"], check=True)
        subprocess.run([sys.executable, MAKE, tmp + "/attack", "2", "14", "600", "60", "8"], check=True)
        usage_and_mistakes(tmp)
        model = learn(tmp, "seasonal")
        learn(tmp, "persistence")
        net = learn(tmp, "dcrnn", "--units", "8", "--layers", "1", "--epochs", "4")
        first = open(net, "rb").read()
        learn(tmp, "dcrnn", "--units", "8", "--layers", "1", "--epochs", "4", "--threads", "2")
        check("learn: same seed, same bits with two threads", open(net, "rb").read() == first)
        slow = learn(tmp, "persistence", "--lead", "3")
        meta = json.loads(run("inspect", "--json", slow).stdout)["metadata"]
        check("learn --lead: the monitor will judge as was calibrated", meta.get("score/lead") == "3", meta)
        watch(tmp, model)
        waits_too_long(tmp, model)
        report(tmp, model)
        graph(tmp)
        evaluate(tmp, model, net)
    print(f"1..{count}")
    sys.exit(failed > 0)


main()
