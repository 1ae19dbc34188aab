# SPDX-License-Identifier: Apache-2.0
"""A program in a terminal of its own, and what that terminal shows: just the sequences of ECMA-48 and
the private modes that 'stgraph top' uses. Anything else is an error, so nothing else gets through."""
import codecs
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata

SEQUENCE = re.compile(r"\x1b\[(\?)?([0-9;]*)([A-Za-z])")


class Screen:
    """Main and alternate buffer of a terminal; text in cells, each with its style."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.alternate = False
        self.cursor_shown = True
        self.wraps = True
        self.left = ""  # bytes of a sequence that is not whole
        self.errors = []
        self.main = []  # what came while the main buffer was shown
        self.style = ""
        self.clear()

    def clear(self):
        self.x = self.y = 0
        self.cells = [[" "] * self.columns for _ in range(self.rows)]
        self.styles = [[""] * self.columns for _ in range(self.rows)]

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.clear()

    def feed(self, text):
        text, self.left = self.left + text, ""
        at = 0
        while at < len(text):
            c = text[at]
            if c == "\x1b":
                found = SEQUENCE.match(text, at)
                if not found:
                    if len(text) - at < 16:
                        self.left = text[at:]
                    else:
                        self.errors.append("sequence " + repr(text[at:at + 12]))
                        at += 1
                        continue
                    return
                self.sequence(*found.groups())
                at = found.end()
                continue
            at += 1
            if not self.alternate:
                self.main.append(c)
            elif ord(c) < 0x20 or 0x7f <= ord(c) < 0xa0 or c == "\ufffd":
                self.errors.append("control " + repr(text[max(at - 20, 0):at + 10]))
            else:
                self.put(c)

    def sequence(self, private, numbers, final):
        number = [int(n or 0) for n in numbers.split(";")]
        if private:
            on = final == "h"
            if final not in "hl" or number[0] not in (7, 25, 1049):
                self.errors.append(f"mode {numbers}{final}")
            elif number[0] == 1049:
                self.alternate = on
                self.clear()
            elif number[0] == 25:
                self.cursor_shown = on
            else:
                self.wraps = on
        elif final == "H":
            self.y, self.x = max(number[0], 1) - 1, (number[1] if len(number) > 1 else 1) - 1
            if self.y >= self.rows or self.x >= self.columns:
                self.errors.append(f"cursor at {self.y + 1};{self.x + 1}")
                self.y, self.x = min(self.y, self.rows - 1), 0
        elif final == "J" and number[0] == 2:
            self.cells = [[" "] * self.columns for _ in range(self.rows)]
            self.styles = [[""] * self.columns for _ in range(self.rows)]
        elif final == "K" and number[0] == 0:
            self.cells[self.y][self.x:] = [" "] * (self.columns - self.x)
            self.styles[self.y][self.x:] = [""] * (self.columns - self.x)
        elif final == "m":
            self.style = numbers
        else:
            self.errors.append(f"sequence {numbers}{final}")

    def put(self, c):
        if unicodedata.combining(c):
            return
        wide = 2 if unicodedata.east_asian_width(c) in "WF" else 1
        if self.x + wide > self.columns:
            self.errors.append(f"beyond the edge of row {self.y + 1}: {c!r}")
            return
        self.cells[self.y][self.x] = c
        self.styles[self.y][self.x] = self.style
        if wide == 2:
            self.cells[self.y][self.x + 1] = ""
        self.x += wide

    def lines(self):
        return ["".join(row).rstrip() for row in self.cells]

    def text(self):
        return "\n".join(self.lines())

    def styled(self, style):
        """Text of the cells that carry a part of a style, such as '7' or '38;5;208'."""
        return "\n".join("".join(c if f";{style};" in f";{s};" else " " for c, s in zip(row, styles)).rstrip()
                         for row, styles in zip(self.cells, self.styles))


class Session:
    """A program on a pseudo terminal that controls it."""

    def __init__(self, args, columns=120, rows=40, env=None, stdin=None, leader=None):
        self.master, self.slave = os.openpty()
        self.screen = Screen(columns, rows)
        self.size(columns, rows, tell=False)
        self.before = termios.tcgetattr(self.slave)
        self.raw = b""
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        take = self.slave if stdin is None else stdin

        def control():
            os.setsid()
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
        self.child = subprocess.Popen(  # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
            [*(leader or []), *args], stdin=take, stdout=self.slave, stderr=self.slave, preexec_fn=control,
            env={**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(env or {})})

    def size(self, columns, rows, tell=True):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.screen.resize(columns, rows)

    def read(self, seconds):
        """Takes what the program writes for up to so many seconds; true when there was something."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        data = os.read(self.master, 65536)
        self.raw += data
        self.screen.feed(self.decode(data))
        return True

    def until(self, wanted, seconds=20):
        """Reads until the screen fulfils wanted (a text or a function of the screen)."""
        good = wanted if callable(wanted) else lambda s: wanted in s.text()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while self.read(0.02):
                pass
            if good(self.screen):
                return True
        return False

    def settle(self, seconds=0.25):
        while self.read(seconds):
            pass

    def keys(self, text):
        os.write(self.master, text.encode())

    def end(self, seconds=20):
        """Waits for the program's end; its return code, None when it does not end."""
        end = time.monotonic() + seconds
        while self.child.poll() is None and time.monotonic() < end:
            self.read(0.02)
        while self.read(0.02):
            pass
        return self.child.poll()

    def restored(self):
        """What of the terminal is not as it was before."""
        s = self.screen
        wrong = [name for name, bad in (("alternate buffer", s.alternate), ("cursor", not s.cursor_shown),
                                        ("wrapping", not s.wraps), ("style", s.style not in ("", "0")),
                                        ("modes", termios.tcgetattr(self.slave) != self.before)) if bad]
        return wrong

    def close(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL)
            self.child.wait()
        os.close(self.master)
        os.close(self.slave)
