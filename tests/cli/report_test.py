# SPDX-License-Identifier: Apache-2.0
"""The page of `stgraph report` in a browser: what it shows, what it does on a click and on a key, and that
names cannot break out of it. Speaks WebDriver to Debian's chromedriver.

usage: report_test.py PROGRAM RECORDINGS FOLDER; TAP on standard output; a screenshot goes to FOLDER.
"""
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
from pathlib import Path

PROGRAM, RECORDINGS, FOLDER = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
ENTER, RIGHT, END = "\ue007", "\ue014", "\ue010"
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
START = 1_764_000_000


def run(*args):
    subprocess.run([PROGRAM, *map(str, args)], check=True, stderr=subprocess.DEVNULL)


class Browser:
    """One window of a browser without a screen."""

    def __init__(self):
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        line = ""
        while "successfully on port" not in line:
            line = self.driver.stdout.readline()
            if not line:
                raise RuntimeError("chromedriver did not start")
        port = int(line.rsplit("on port", 1)[1].strip(" .\n"))
        self.base = f"http://127.0.0.1:{port}/session"
        self.profile = tempfile.mkdtemp()
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1500,1300",
                            f"--user-data-dir={self.profile}"]}
        made = self.ask("", {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}}})
        self.base += "/" + made["sessionId"]

    def ask(self, path, body=None, method=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"},
                                         method=method or ("POST" if body is not None else "GET"))
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, page):
        self.ask("/url", {"url": page.resolve().as_uri()})

    def js(self, code, *args):
        return self.ask("/execute/sync", {"script": code, "args": list(args)})

    def find(self, css):
        return self.ask("/element", {"using": "css selector", "value": css})[ELEMENT]

    def click(self, css):
        self.ask(f"/element/{self.find(css)}/click", {})

    def type(self, css, keys):
        self.ask(f"/element/{self.find(css)}/value", {"text": keys})

    def log(self, kind):
        return self.ask("/se/log", {"type": kind})

    def screenshot(self):
        return base64.b64decode(self.ask("/screenshot"))

    def close(self):
        try:
            self.ask("", method="DELETE")
        finally:
            self.driver.terminate()
            self.driver.wait(10)
            shutil.rmtree(self.profile, ignore_errors=True)


def quiet(browser):
    """No message of the console, nothing asked of anybody."""
    messages = [m for m in browser.log("browser") if m["level"] != "INFO"]
    assert not messages, messages
    for entry in browser.log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            assert url.startswith(("file:", "data:", "chrome:", "about:")), url


def recording(browser, work):
    model, page = work / "model", work / "recording.html"
    normal, attacks = RECORDINGS / "normal", RECORDINGS / "attacks-a"
    run("learn", "--calls", normal / "calls.jsonl.xz", "--gauges", normal / "gauges.jsonl.xz", "--day", 600,
        "--out", model)
    run("report", "--model", model, "--calls", attacks / "calls.jsonl.xz", "--gauges",
        attacks / "gauges.jsonl.xz", "--out", page, "--title", "Shop & <friends>")
    assert page.stat().st_size < 5_000_000, page.stat().st_size
    browser.open(page)
    took = browser.js("const t = performance.getEntriesByType('navigation')[0];"
                      " return t.loadEventEnd - t.startTime")
    print(f"# {page.stat().st_size} bytes, open in {took:.0f} ms")
    assert took < 2000, took
    assert browser.js("return document.title") == "Shop & <friends>"
    assert browser.js("return document.querySelectorAll('.node').length") == 18
    incidents = browser.js("return document.querySelectorAll('#list button').length")
    assert incidents > 8, incidents
    # the first incident is shown when the page opens; another one on a click
    first = browser.js("return [state.window, document.querySelector('#detail').textContent]")
    assert first[0] > 0 and "Likeliest causes" in first[1], first
    browser.click("#list button:nth-child(2)")
    second = browser.js("return [state.window, document.querySelector('#detail').textContent,"
                        " document.querySelectorAll('.member').length,"
                        " document.querySelectorAll('.dim').length]")
    assert second[0] > first[0] and second[1] != first[1] and second[2] > 1 and second[3] > 1, second
    (FOLDER / "report.png").write_bytes(browser.screenshot())
    browser.click("#list button:nth-child(2)")
    assert browser.js("return document.querySelectorAll('.dim').length") == 0
    # slider: a click in its middle, arrow and end keys
    browser.click("#slider")
    middle = browser.js("return [state.window, windows, $('now').textContent]")
    assert abs(middle[0] - middle[1] / 2) < 3, middle
    browser.type("#slider", RIGHT)
    assert browser.js("return state.window") == middle[0] + 1
    browser.type("#slider", END)
    assert browser.js("return [state.window, $('now').textContent]")[0] == middle[1] - 1
    assert browser.js("return document.querySelectorAll('#rows tr').length") > 3
    # a node by its key: the chart is about it
    browser.js("document.querySelector('.node[aria-label=auth]').focus()")
    browser.type(".node[aria-label=auth]", ENTER)
    assert browser.js("return $('chosen').textContent") == "auth"
    assert len(browser.js("return document.querySelector('.seen-line').getAttribute('d')")) > 500
    browser.type("body", "n")
    assert browser.js("return story.indexOf(state.incident)") == 0
    quiet(browser)


HOSTILE = ["</script><script>window.broken=1</script>", "<img src=x onerror=window.broken=1>",
           "a\u202eb\u2028c", "\"'`${1}\\", "<!--", "n" * 250, "]]>&amp;&lt;", "caf\u00e9 \U0001f600"]


def hostile_names(browser, work):
    calls = work / "hostile.jsonl"
    with calls.open("w") as out:
        for second in range(0, 1200):
            for i, name in enumerate(HOSTILE):
                burst = 12 if 1000 < second < 1100 and i == 0 else 1 + (second * 7 + i) % 3
                for _ in range(burst):
                    out.write(json.dumps({
                        "end_ns": (START + second) * 10**9 + i, "dst": name, "status": 200,
                        "route": "GET /" + HOSTILE[-1 - i][:200], "duration_us": 1000,
                        "side": "server"}) + "\n")
        out.write(json.dumps({"end_ns": (START + 1200) * 10**9, "dst": "x" * 10_000, "status": 200}) + "\n")
    model, page = work / "hostile-model", work / "hostile.html"
    run("learn", "--calls", calls, "--kind", "seasonal", "--day", 600, "--out", model)
    run("report", "--model", model, "--calls", calls, "--out", page, "--title", HOSTILE[0])
    text = page.read_text(encoding="utf-8")
    assert text.count("</script>") == 2, text.count("</script>")
    browser.open(page)
    assert browser.js("return window.broken === undefined && document.querySelectorAll('img').length === 0")
    names = browser.js("return data.nodes.map(n => n.name[0])")
    assert set(HOSTILE) <= set(names), set(HOSTILE) - set(names)
    shown = browser.js("return [...document.querySelectorAll('.node')]"
                       ".map(n => n.getAttribute('aria-label'))")
    assert set(HOSTILE) <= set(shown)
    assert browser.js("return document.title") == HOSTILE[0]
    quiet(browser)


def nothing_in_it(browser, work):
    calls = work / "two.jsonl"
    line = '{"end_ns":%d000000001,"dst":"web","status":200}\n'
    calls.write_text("".join(line % (START + s) for s in (0, 5, 6)))
    run("report", "--model", work / "model", "--calls", calls, "--out", work / "two.html")
    browser.open(work / "two.html")
    assert "None." in browser.js("return $('list').textContent")
    quiet(browser)
    bad = subprocess.run([PROGRAM, "report", "--model", str(work / "model"), "--calls", str(calls), "--out",
                          "/no/such/folder/x.html"], capture_output=True, text=True)
    assert bad.returncode == 1 and "/no/such/folder" in bad.stderr, bad.stderr
    assert not list(work.glob("*.tmp-*"))


def main():
    if not shutil.which("chromedriver"):
        print("1..0 # SKIP chromedriver is not installed")
        return 0
    if not (RECORDINGS / "normal" / "calls.jsonl.xz").exists():
        print("1..0 # SKIP no recordings")
        return 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("HOME", "/tmp")
    tests = [recording, hostile_names, nothing_in_it]
    failed = 0
    browser = Browser()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for i, test in enumerate(tests, 1):
                try:
                    test(browser, Path(folder))
                    print(f"ok {i} - {test.__name__}")
                except BaseException:
                    failed += 1
                    print("".join("# " + line for line in traceback.format_exc().splitlines(True)))
                    print(f"not ok {i} - {test.__name__}")
                sys.stdout.flush()
    finally:
        browser.close()
    print(f"1..{len(tests)}")
    return 1 if failed else 0


sys.exit(main())
