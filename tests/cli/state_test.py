#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stgraph watch over restarts: killed at random moments it tells, in all its lives together, what one that
ran through tells.

usage: state_test.py PROGRAM RECORDINGS [KILLS]; TAP on standard output.
"""
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM, RECORDINGS = sys.argv[1:3]
KILLS = int(sys.argv[3]) if len(sys.argv) > 3 else int(os.environ.get("STG_KILLS", "5"))
NORMAL = [str(Path(RECORDINGS, "normal", k + ".jsonl.xz")) for k in ("calls", "gauges")]
ATTACKS = [str(Path(RECORDINGS, "attacks-a", k + ".jsonl.xz")) for k in ("calls", "gauges")]

checks = failed = 0


def check(what, holds, more=""):
    global checks, failed
    checks += 1
    failed += not holds
    print(f"{'ok' if holds else 'not ok'} {checks} - {what}")
    if not holds:
        print("# " + str(more)[:2000].replace("\n", "\n# "))


def run(*args, code=0, **kw):
    done = subprocess.run([PROGRAM, *args], capture_output=True, timeout=300, **kw)
    check(f"{args[0]} ends with {code}", done.returncode == code, done.stderr.decode(errors="replace"))
    return done


def inode(path):
    try:
        return os.stat(path).st_ino, os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return None


def live_and_die(args, state, rng):
    """One life: until it has saved at least once, and a random moment on. Returns its lines, or None with
    them when it came to the end by itself."""
    before = inode(state)
    with tempfile.TemporaryFile() as out:
        p = subprocess.Popen([PROGRAM, *args], stdout=out, stderr=subprocess.DEVNULL)
        while p.poll() is None and inode(state) == before:
            time.sleep(0.002)
        try:
            p.wait(rng.uniform(0, 0.12))
        except subprocess.TimeoutExpired:
            p.kill()
        ended = p.wait() == 0
        out.seek(0)
        return out.read().splitlines(True), ended


def place(whole, part, at):
    """Where the lines of a life stand in the whole story, at or before `at`; -1: nowhere."""
    for i in range(at, max(-1, at - 40), -1):
        if whole[i:i + len(part)] == part:
            return i
    return -1


def killed(model, folder):
    plain = ["watch", "--model", model, "--calls", ATTACKS[0], "--gauges", ATTACKS[1]]
    whole = run(*plain).stdout.splitlines(True)
    state = str(Path(folder, "killed"))
    args = [*plain, "--state", state, "--save-every", "0"]
    rng = random.Random(20261124)
    told = kills = 0
    again = 0
    ended = False
    while not ended and kills < KILLS:
        lines, ended = live_and_die(args, state, rng)
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()  # cut by the kill, comes again
        kills += not ended
        at = place(whole, lines, told)
        if at < 0:
            check("a life tells a piece of the story", False, b"".join(lines[:3]))
            return
        again += told - at
        told = max(told, at + len(lines))
    if not ended:  # the last life ends by itself
        lines = run(*args).stdout.splitlines(True)
        at = place(whole, lines, told)
        check("the last life goes on where it was", at >= 0, b"".join(lines[:3]))
        told = max(told, at + len(lines)) if at >= 0 else told
    check(f"{kills} kills: all lives together tell the same", told == len(whole) and kills >= min(3, KILLS),
          (told, len(whole), kills))
    check("few lines come twice", again <= 8 * (kills + 1), again)
    print(f"# {len(whole)} lines, {kills} kills, {again} lines told twice")


def terminated(model, folder):
    """Live on a pipe: SIGTERM finishes the window at work, saves and ends well."""
    state = str(Path(folder, "terminated"))
    calls = subprocess.run(["xz", "-dc", ATTACKS[0]], capture_output=True, check=True).stdout
    head = calls[:calls.index(b"\n", 2_000_000) + 1]
    p = subprocess.Popen([PROGRAM, "watch", "--model", model, "--calls", "-", "--state", state,
                          "--save-every", "86400", "--grace", "0"], stdin=subprocess.PIPE,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    p.stdin.write(head)
    p.stdin.flush()
    while inode(state) is None and p.poll() is None:  # the first window is saved
        time.sleep(0.01)
    first = inode(state)
    p.send_signal(signal.SIGTERM)
    try:
        code = p.wait(20)
    except subprocess.TimeoutExpired:
        p.kill()
        code = "did not end"
    check("SIGTERM: ends with 0", code == 0, p.stderr.read())
    check("SIGTERM: has saved again", inode(state) != first)
    p.stdin.close()
    shown = run("inspect", state).stdout
    check("inspect reads a state", b"state/score" in shown, shown)


def strangers(model, folder):
    """A state of another model is told, and the run begins anew; what is no state is not written over."""
    state = Path(folder, "strange")
    short = str(Path(folder, "short.jsonl"))
    calls = subprocess.run(["xz", "-dc", ATTACKS[0]], capture_output=True, check=True).stdout
    Path(short).write_bytes(calls[:calls.index(b"\n", 300_000) + 1])
    for what, data in (("no bundle", b"nonsense"), ("an empty one", b"\x02\0\0\0\0\0\0\0{}"),
                       ("the model", Path(model).read_bytes())):
        state.write_bytes(data)
        done = run("watch", "--model", model, "--calls", short, "--state", str(state), code=1)
        check(f"{what} as state: told", b"not written over" in done.stderr, done.stderr)
        check(f"{what} as state: stays", state.read_bytes() == data)
    run("watch", "--model", model, "--calls", short, "--state", model, code=2)
    state.unlink()
    other = str(Path(folder, "other"))
    run("learn", "--calls", NORMAL[0], "--day", "600", "--kind", "persistence", "--out", other)
    run("watch", "--model", other, "--calls", short, "--state", str(state))
    before = state.read_bytes()
    done = run("watch", "--model", model, "--calls", short, "--state", str(state))
    check("another model's state: told", b"begins anew" in done.stderr, done.stderr)
    check("another model's state: a good one is written", state.read_bytes() != before and
          run("watch", "--model", model, "--calls", short, "--state", str(state)).stderr == b"")
    done = run("watch", "--model", model, "--calls", short, "--state", folder + "/none/x", code=1)
    check("no folder for it: told at once", b"no such folder" in done.stderr, done.stderr)
    done = run("watch", "--model", model, "--calls", short, "--state", folder, code=1)
    check("a folder as state fails", folder.encode() in done.stderr, done.stderr)
    run("watch", "--model", model, "--calls", short, "--state", "x", "--save-every", "-1", code=2)


def main():
    if not Path(NORMAL[0]).exists():
        print("1..0 # SKIP no recordings")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder, "model"))
        run("learn", "--calls", NORMAL[0], "--gauges", NORMAL[1], "--day", "600", "--kind", "seasonal",
            "--lead", "3", "--out", model)
        killed(model, folder)
        terminated(model, folder)
        strangers(model, folder)
    print(f"1..{checks}")
    return 1 if failed else 0


sys.exit(main())
