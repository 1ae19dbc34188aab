#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the tests in Meson's logs: tally.py testlog.json...

A program that speaks TAP counts with each of its tests, any other program as one. A program that
ended badly without saying which of its tests failed counts as one more failure. Prints
"PASSED FAILED SKIPPED".
"""
import json
import re
import sys

LINE = re.compile(r'^(not )?ok\b([^\n]*)$', re.MULTILINE)


def count(record):
    passed = failed = skipped = 0
    if record['result'] == 'SKIP':
        return 0, 0, 1
    for bad, rest in LINE.findall(record.get('stdout') or ''):
        if re.search(r'#\s*skip', rest, re.IGNORECASE):
            skipped += 1
        elif bad:
            failed += 1
        else:
            passed += 1
    good = record['result'] in ('OK', 'EXPECTEDFAIL')
    if good and not passed + skipped:
        passed = 1
    if not good and not failed:
        failed = 1
    return passed, failed, skipped


def main():
    total = [0, 0, 0]
    for path in sys.argv[1:]:
        with open(path, encoding='utf-8') as log:
            for line in log:
                total = [a + b for a, b in zip(total, count(json.loads(line)))]
    print(*total)


if __name__ == '__main__':
    main()
