#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""'stgraph top' in a terminal of its own: what it shows, what keys and signals do, what it leaves behind.

usage: top_test.py PROGRAM RECORDINGS (prints TAP)
"""
import json
import lzma
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vt import Session  # noqa: E402  pylint: disable=wrong-import-position

PROGRAM, DATA = sys.argv[1], sys.argv[2]
SLICE_S = 780  # seconds of the recording: two incidents, one of them open at the end
count = 0
failed = 0


def check(name, ok, detail=""):
    global count, failed
    count += 1
    failed += not ok
    print(("ok" if ok else "not ok"), count, "-", name, flush=True)
    if not ok:
        print("# " + str(detail)[-3000:].replace("\n", "\n# "), flush=True)


def see(name, s, wanted):
    """The screen comes to show it."""
    check(name, s.until(wanted), s.screen.text())


def clean(name, s):
    """Nothing but known sequences came, and nothing stood beyond the edge."""
    check(f"{name}: only sequences of its own, within the screen", not s.screen.errors, s.screen.errors[:5])


def finish(name, s, code):
    got = s.end()
    check(f"{name}: exit {code}", got == code, (got, "".join(s.screen.main)))
    check(f"{name}: the terminal is as it was", not s.restored(), s.restored())
    clean(name, s)
    s.close()


def piece(tmp, kind):
    """The first seconds of a recording with attacks."""
    path = f"{tmp}/{kind}.jsonl"
    begin = None
    packed = f"{DATA}/attacks-a/{kind}.jsonl.xz"
    with lzma.open(packed, "rt") as rows, open(path, "w", encoding="utf-8") as out:
        for row in rows:
            found = re.search(r'"(?:end_ns|time_ns)":(\d+)', row)
            begin = begin or int(found.group(1))
            if int(found.group(1)) - begin > SLICE_S * 10**9:
                break
            out.write(row)
    return path


def table(screen):
    """Rows of the table of services: name -> the other words."""
    lines = screen.lines()
    head = next((i for i, line in enumerate(lines) if line.startswith("  SERVICE")), None)
    rows = {}
    for line in lines[head + 1:] if head is not None else []:
        words = line[2:].split()
        if not words or line.startswith("   SEV") or "no incident" in line:
            break
        rows[words[0]] = words[1:]
    return rows


def shows(args):
    s = Session([*args, "--speed", "0"])
    see("the end of the recording is reached", s, lambda v: "■ end" in v.text())
    lines = s.screen.lines()
    check("it is in the alternate buffer, without cursor", s.screen.alternate and not s.screen.cursor_shown)
    check("head: time of the window",
          re.search(r"2025-11-24 16:12:\d\d–16:1\d:\d\d UTC  window 5s", lines[0]), lines[0])
    check("head: calls, forecast, errors",
          re.search(r"calls/s [\d.]+   forecast [\d.]+ \([+-]\d+%\)   from outside [\d.]+   errors",
                    lines[1]), lines[1])
    check("head: incidents, coverage, windows, ledger",
          re.search(r"incidents ▲ 1 open   1 closed   evidence \d+% of alarm   coverage 100%   "
                    r"judged \d+/\d+   late 0   refused 0", lines[2]), lines[2])
    rows = table(s.screen)
    check("services: those of the recording", {"edge", "search", "compose", "user-db"} <= set(rows), rows)
    check("services: the attacked one comes first and is marked",
          lines[5][:1] == "▲" and "injection" in lines[5], lines[5])
    marked = [line.split()[1] for line in lines[5:25] if line.startswith("▲")]
    check("services: those that the incident names are marked", "compose" in marked and
          "mail" not in marked and len(marked) < 5, marked)
    check("services: the mark is orange", "▲" in s.screen.styled("38;5;208"))
    check("incidents: the open one stands below the services",
          any(re.match(r"▲ +[\d.]+ injection +\d+% 16:11:45", line) for line in lines), s.screen.text())
    s.keys("ss")
    see("s: sorted by rate", s, "sorted by rate")
    rates = [float(w[0]) for w in table(s.screen).values()]
    check("services: in that order", len(rates) > 10 and rates == sorted(rates, reverse=True), rates)
    s.keys("S")
    see("S: the other way round", s, lambda v: [float(w[0]) for w in table(v).values()] == rates[::-1])
    s.keys("/TIME")
    see("/: only names that hold the text", s, lambda v: set(table(v)) == {"home-timeline", "user-timeline"})
    s.keys("\x1b")
    see("esc: all again", s, lambda v: len(table(v)) > 10)
    s.keys("q")
    finish("quit", s, 0)


def incidents(args):
    s = Session([*args, "--speed", "0"], 100, 50)
    s.until("■ end")
    s.keys("\t\t")
    see("tab: incidents", s, lambda v: re.search(r"○ +[\d.]+ http_flood", v.text()))
    check("the selected one's text and action below", "proposed: limit" in s.screen.text() and
          "with hostile payloads" in s.screen.text(), s.screen.text())
    s.keys("\r")
    see("enter: its detail", s, "Evidence")
    text = s.screen.text()
    for part in ("injection  confidence", "Proposed", "Causes, the likeliest first",
                 "limit 1/s on external → edge  POST /api/compose  (dry run)",
                 "1. edge → compose  POST /api/compose", "injections", "expected",
                 "Edges in it", "T1190 CAPEC-63 CAPEC-66"):
        check(f"detail: {part}", part in text, text)
    s.keys("\x1b[B")
    s.keys("\x1b")
    see("esc: back to the list", s, "WHAT")
    s.keys("j")
    s.keys("\r")
    see("the other incident's detail", s, lambda v: "○" not in v.text() and "closed 16:10:25" in v.text())
    s.keys("2")
    see("2: edges", s, "CALLER AND CALLEE")
    s.keys("\r")
    see("an edge's detail: seen and forecast", s, lambda v: re.search(r"calls/s +[\d.]+ +[\d.]+ ", v.text()))
    s.keys("1\r")
    see("a service's detail: callers and callees", s, "Called by")
    s.keys("?")
    see("?: help", s, "half as fast")
    s.keys("q")
    finish("panes", s, 0)


def judged(screen):
    """Windows that have been seen so far, as the head tells."""
    found = re.search(r"judged \d+/(\d+)", screen.text())
    return int(found.group(1)) if found else 0


def steps(args):
    """A window is shown for as long as it took; paused, n goes one on."""
    s = Session([*args, "--speed", "0.01"])
    see("the first window", s, lambda v: judged(v) == 1)
    s.settle(0.5)
    check("it stays on the screen", judged(s.screen) == 1)
    s.keys(" ")
    see("space: paused", s, "‖ paused")
    s.keys("nn")
    see("n: two windows on", s, lambda v: judged(v) == 3)
    s.keys("\x1b[C")
    see("right: another one", s, lambda v: judged(v) == 4)
    ticks = [sum(map(int, open(f"/proc/{s.child.pid}/stat", encoding="utf-8").read().split()[13:15]))]
    time.sleep(1)
    ticks.append(sum(map(int, open(f"/proc/{s.child.pid}/stat", encoding="utf-8").read().split()[13:15])))
    check("paused it uses no time", ticks[1] - ticks[0] <= 2, ticks)
    s.keys("-")
    s.keys(" ")
    see("-: not slower than that", s, "▶ 0.01x")
    s.keys("+-+")
    see("+ and -: twice as fast, half as fast", s, "▶ 0.02x")
    s.keys("++++++++++++++++++++++++++++++++")
    see("+: up to no limit", s, "■ end")
    s.keys("q")
    finish("steps", s, 0)


def sizes(args):
    s = Session([*args, "--speed", "0"], 80, 24)
    see("80x24", s, "■ end")
    text = s.screen.text()
    check("80x24: name, rate, state of a service",
          re.search(r"▲ compose +[\d.]+ ", text) and "injection" in text, text)
    for columns, rows, wanted in ((60, 20, "injection"), (40, 10, "SERVICE"), (20, 6, "SERVICE"),
                                  (10, 3, "st"), (1, 1, ""), (200, 60, "search receives 4.2x")):
        s.size(columns, rows)
        s.keys("3" if columns == 200 else "1")
        see(f"resized to {columns}x{rows}", s, wanted)
        s.keys("\r?\x1b[B?2\r3\r1")
        s.settle(0.1)
        check(f"{columns}x{rows}: alive", s.child.poll() is None)
    s.keys("q")
    finish("sizes", s, 0)
    s = Session([*args, "--speed", "0"], 10, 3)
    s.settle(0.5)
    s.keys("jjG\r\x1b[6~")
    s.settle(0.1)
    check("10x3: alive", s.child.poll() is None)
    s.keys("q")
    s.settle(0.2)
    finish("10x3", s, 0)


def colours(args):
    for name, more, env, wanted in (("256 colours", [], {}, "38;5;208"),
                                    ("--no-color", ["--no-color"], {}, None),
                                    ("NO_COLOR", [], {"NO_COLOR": "1"}, None),
                                    ("8 colours", [], {"TERM": "vt220", "COLORTERM": ""}, "33")):
        s = Session([*args, "--speed", "0", *more], env={"NO_COLOR": "", **env})
        s.until("■ end")
        used = set(re.findall(rb"\x1b\[0((?:;\d+)*)m", s.raw))
        plain = all(set(u.split(b";")) <= {b"", b"1", b"2", b"4", b"7"} for u in used)
        good = plain if wanted is None else any(wanted in u.decode() for u in used)
        check(f"{name}: its colours", good and "▲" in s.screen.text(), used)
        s.keys("q")
        finish(name, s, 0)


def signals(args):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        s = Session([*args, "--speed", "1"])
        s.until("SERVICE")
        if number == signal.SIGINT:
            s.keys("\x03")
        else:
            s.child.send_signal(number)
        finish(number.name, s, -number)


JOB = """
import os, signal, sys, time
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
while True:
    _, state = os.waitpid(pid, os.WUNTRACED)
    if not os.WIFSTOPPED(state):
        sys.exit(os.waitstatus_to_exitcode(state))
    os.tcsetpgrp(0, os.getpgrp())
    print("STOPPED", flush=True)
    os.read(0, 1)
    os.tcsetpgrp(0, pid)
    os.kill(pid, signal.SIGCONT)
"""


def stopped(args):
    s = Session([*args, "--speed", "0"], leader=[sys.executable, "-c", JOB])
    s.until("■ end")
    s.keys("\x1a")
    see("^Z stops it", s, lambda v: "STOPPED" in "".join(v.main))
    check("^Z: the shell has its terminal", not s.restored(), s.restored())
    s.keys("\n")
    see("when it goes on, all is there again", s,
        lambda v: v.alternate and not v.cursor_shown and "SERVICE" in v.text())
    s.keys("3")
    see("and keys work", s, "WHAT")
    s.keys("q")
    finish("stopped", s, 0)


HOSTILE = ["\x1b[31mred\x1b[2J", "bell\x07\x08\r\nnext", "c1\x9b2J\x85", "\u202egnp.exe", "nul\x00end",
           "zero\u200bwidth", "漢字" * 40, "e" + "\u0301" * 60, "back\\x1b",
           "x" * 255, "\x7fdel", "\U000e0041tag"]


def hostile(tmp, model):
    """Names, texts of errors and the file's own name hold what a terminal must not see."""
    path = tmp + "/calls\x1b[31m.jsonl"
    begin = 1_764_000_000
    with open(path, "wb") as out:
        for second in range(200):
            for name in HOSTILE + ["y" * 10000]:
                row = {"end_ns": (begin + second) * 10**9, "src": "edge", "dst": name,
                       "route": "GET " + name[:200], "status": 200, "duration_us": 1000}
                out.write(json.dumps(row).encode() + b"\n")
            out.write(b'{"end_ns":%d,"dst":"bad\xff\xfe\x1b[2J","st\x1b[2Jatus":1}\n'
                      % ((begin + second) * 10**9))
    args = [PROGRAM, "top", "--model", model, "--calls", path, "--speed", "0"]
    for columns, rows in ((120, 40), (33, 12)):
        s = Session(args, columns, rows)
        see(f"hostile names at {columns}: shown to the end", s, "■ end" if columns > 100 else "SERVICE")
        s.settle(0.5)
        if columns == 120:
            text = s.screen.text()
            for part in ("\\x1b[31mred", "bell\\x07\\x08\\x0d\\x0anext", "\\u202egnp", "zero\\u200bwidth",
                         "back\\\\x1b", "\\x7fdel", "\\U0e0041tag", "漢字漢字", "xxxxxxx…"):
                check(f"hostile: {part}", part in text, text)
        for keys in ("2", "\r", "jjjjG", "\x1b", "3", "1", "jjj\r", "\x1b", "/\u00e9", "\r"):
            s.keys(keys)
            s.settle(0.1)
        s.keys("q")
        finish(f"hostile at {columns}", s, 0)
    r = subprocess.run([*args[:-2], "--batch", "3"], capture_output=True, check=False, timeout=60)
    bad = re.findall(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", r.stdout)
    check("hostile: no control byte in --batch",
          r.returncode == 0 and not bad and r.stdout.count(b"stgraph top") == 3, bad)


def text_frames(args):
    r = subprocess.run(args, capture_output=True, text=True, check=False, timeout=60)
    check("no terminal: refused with advice, exit 1",
          r.returncode == 1 and "--batch" in r.stderr and not r.stdout, r)
    env = {**os.environ, "LC_ALL": "C.UTF-8", "COLUMNS": "120"}
    r = subprocess.run([*args, "--once"], capture_output=True, text=True, check=False, timeout=60, env=env)
    check("--once: one frame, the last window", r.returncode == 0 and r.stdout.count(" stgraph top ") == 1 and
          "▲ 1 open   1 closed" in r.stdout and "SERVICE" in r.stdout and "CALLER" in r.stdout and
          "limit 1/s on external → edge" in r.stdout, r.stdout)
    check("--once: lines fit, no escape", "\x1b" not in r.stdout and
          max(map(len, r.stdout.splitlines())) <= 120 and not re.search(r" $", r.stdout, re.M))
    r = subprocess.run([*args, "--batch", "4"], capture_output=True, check=False, timeout=60,
                       env={**env, "LC_ALL": "C", "COLUMNS": "80"})
    check("--batch 4: four frames of ASCII", r.returncode == 0 and r.stdout.count(b" stgraph top ") == 4 and
          re.fullmatch(rb"[\n\x20-\x7e]*", r.stdout), r.stdout)
    r = subprocess.run([*args, "--batch", "0"], capture_output=True, check=False, timeout=60)
    check("--batch 0, exit 2", r.returncode == 2, r)
    r = subprocess.run([*args, "--batch", "2", "--once"], capture_output=True, check=False, timeout=60)
    check("--batch and --once, exit 2", r.returncode == 2, r)


def failures(tmp, args, model):
    with lzma.open(tmp + "/cut.jsonl.xz", "wb") as out, open(tmp + "/calls.jsonl", "rb") as rows:
        out.write(rows.read(4_000_000))
    with open(tmp + "/cut.jsonl.xz", "r+b") as packed:
        packed.truncate(os.path.getsize(packed.name) // 2)
    s = Session([PROGRAM, "top", "--model", model, "--calls", tmp + "/cut.jsonl.xz", "--speed", "0"])
    finish("input that breaks off", s, 1)
    check("input that breaks off: said after the screen has gone",
          "unpacking failed" in "".join(s.screen.main), "".join(s.screen.main))
    s = Session(args, env={"TERM": "dumb"})
    finish("TERM=dumb", s, 1)
    said = s.raw
    s = Session([PROGRAM, "top", "--model", model, "--calls", "-"])
    finish("calls from the terminal itself", s, 1)
    check("calls from the terminal itself: refused", b"\x1b" not in s.raw and b"pipe" in s.raw, s.raw)
    check("TERM=dumb: nothing but a message", b"\x1b" not in said and b"--once" in said, said)


def live(model):
    """Calls of this minute come through a pipe; keys come from the terminal."""
    ends = os.pipe()
    s = Session([PROGRAM, "top", "--model", model, "--calls", "-"], stdin=ends[0])
    os.close(ends[0])
    now = time.time_ns()

    def send(begin_s, end_s):
        for t in range(begin_s * 10, end_s * 10):
            row = {"end_ns": now + t * 10**8, "src": "external", "dst": "edge", "route": "GET /",
                   "status": 200, "duration_us": 900, "side": "server"}
            os.write(ends[1], json.dumps(row).encode() + b"\n")
    send(-60, -20)
    see("live: windows as their calls come", s, lambda v: "▶ live" in v.text() and "edge" in table(v))
    rate = table(s.screen).get("edge", [""])[0]
    check("live: ten calls a second", rate in ("10.0", "9.8", "10.2"), s.screen.text())
    s.keys(" ")
    see("live: keys work while no calls come", s, "‖ paused")
    shown = s.screen.lines()[0]
    before = judged(s.screen)
    send(-20, 0)
    s.settle(0.5)
    check("live and paused: the tables stand still", s.screen.lines()[0] == shown, s.screen.text())
    check("live and paused: windows are judged on", judged(s.screen) > before, s.screen.text())
    s.keys(" ")
    send(0, 10)
    see("live: on again", s, lambda v: "▶ live" in v.text() and v.lines()[0] != shown)
    os.close(ends[1])
    see("live: the end of the input", s, "■ end")
    s.keys("q")
    finish("live", s, 0)


def main():
    try:
        for end in os.openpty():
            os.close(end)
    except OSError as e:
        print(f"1..0 # SKIP there are no pseudo terminals here: {e}")
        return
    # Under nohup SIGHUP is ignored, and would be in the program: a handler is not inherited.
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as tmp:
        model = tmp + "/model.stg"
        normal = DATA + "/normal/"
        r = subprocess.run([PROGRAM, "learn", "--calls", normal + "calls.jsonl.xz", "--gauges",
                            normal + "gauges.jsonl.xz", "--window", "5", "--day", "600", "--kind", "seasonal",
                            "--out", model], capture_output=True, text=True, check=False, timeout=300)
        check("learn", r.returncode == 0, r.stderr)
        args = [PROGRAM, "top", "--model", model, "--calls", piece(tmp, "calls"),
                "--gauges", piece(tmp, "gauges")]
        text_frames(args)
        shows(args)
        incidents(args)
        steps(args)
        sizes(args)
        colours(args)
        signals(args)
        stopped(args)
        hostile(tmp, model)
        failures(tmp, args, model)
        live(model)
    print(f"1..{count}")
    sys.exit(failed > 0)


main()
