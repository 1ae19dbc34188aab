#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests that the rooms of lib/ stay layers: layers.py --source ROOT --build BUILD

- A private header of a room that another room may not use, included from a source of that other
  room with the very command that compiles it, is not found.
- Includes name own headers, those of rooms the room may use, and public headers of these rooms.
- What a room's objects need of the library is defined in the room or in rooms it may use.
- A public header includes headers of rooms its own room may use.
"""
import argparse
import json
import pathlib
import re
import shlex
import subprocess
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


class Rooms:
    def __init__(self, source, build):
        self.source = pathlib.Path(source)
        self.build = pathlib.Path(build)
        text = (self.source / 'lib' / 'meson.build').read_text()
        self.allowed = {
            room: set(re.findall(r"'(\w+)'", below))
            for room, below in re.findall(r"^  '(\w+)': \[([^\]]*)\],$", text, re.MULTILINE)}
        self.commands = {}
        for entry in json.loads((self.build / 'compile_commands.json').read_text()):
            match = re.match(r'lib/libstg_(\w+)\.a\.p/', entry.get('output', ''))
            if match:
                self.commands.setdefault(match.group(1), entry)

    def private(self, room):
        return sorted((self.source / 'lib' / room).rglob('*.h'))

    def sources(self, room):
        return sorted((self.source / 'lib' / room).rglob('*.[ch]'))

    def may_use(self, room):
        return self.allowed[room] | {room}


def preprocess(entry, text):
    """Compiles a text as the entry's file is compiled; exit code and words."""
    words = shlex.split(entry['command'])
    keep, skip = [], False
    for word in words:
        if skip or word in ('-o', '-MF', '-MQ', '-c'):
            skip = not skip
        elif word not in ('-MD', '-MMD'):
            keep.append(word)
    out = subprocess.run([*keep, '-fsyntax-only', '-x', 'c', '-'], cwd=entry['directory'],
                         input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         check=False)
    return out.returncode, out.stdout


def upward_includes(rooms):
    """Every private header is found from where it may be used, and from nowhere else."""
    bad, tried = [], 0
    for room, entry in rooms.commands.items():
        for other in rooms.allowed:
            for header in rooms.private(other):
                name = str(header.relative_to(rooms.source / 'lib' / other))
                code, said = preprocess(entry, f'#include "{name}"\n')
                tried += 1
                missing = code != 0 and 'file not found' in said or 'No such file' in said
                if other in rooms.may_use(room) and missing:
                    bad.append(f'{room} cannot include {other}/{name}:\n{said}')
                if other not in rooms.may_use(room) and not missing:
                    bad.append(f'{room} can include {other}/{name}')
    if tried < len(rooms.commands):
        bad.append('nothing was tried')
    return bad


def named_includes(rooms):
    bad = []
    for room in rooms.allowed:
        own = {p.name: r for r in rooms.may_use(room) for p in rooms.private(r)}
        for path in rooms.sources(room):
            where = path.relative_to(rooms.source)
            for mark, name in INCLUDE.findall(path.read_text()):
                if mark == '"' and pathlib.Path(name).name not in own:
                    bad.append(f'{where}: "{name}" is in no room that {room} may use')
                if '..' in name:
                    bad.append(f'{where}: "{name}" climbs')
                if name.startswith('stgraph/') and not public_fits(rooms, room, name, path):
                    bad.append(f'{where}: <{name}> is above {room}')
    return bad


def public_fits(rooms, room, name, path):
    owner = name[len('stgraph/'):-len('.h')]
    # The table of all sizes must see all structs; nothing else needs the umbrella.
    return (owner == 'version' or owner in rooms.may_use(room) or
            owner == 'stgraph' and path.name == 'sizes.c')


def public_headers(rooms):
    bad = []
    for path in sorted((rooms.source / 'include' / 'stgraph').glob('*.h')):
        if path.name == 'stgraph.h':
            continue
        for _, name in INCLUDE.findall(path.read_text()):
            if name.startswith('stgraph/') and not public_fits(rooms, path.stem, name, path):
                bad.append(f'{path.name}: <{name}> is above it')
    return bad


def symbols(rooms):
    defined, needed = {}, {}
    for room in rooms.allowed:
        out = subprocess.run(['nm', '-A', str(rooms.build / 'lib' / f'libstg_{room}.a')], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        kinds = re.findall(r' ([A-Za-z]) (stg_\w+)$', out, re.MULTILINE)
        defined[room] = {n for k, n in kinds if k not in 'Uw'}
        needed[room] = {n for k, n in kinds if k == 'U'}
    bad = []
    for room in rooms.commands:
        within = set().union(*(defined[r] for r in rooms.may_use(room)))
        bad += [f'{room} needs {n}, which is in no room it may use' for n in needed[room] - within]
        if not defined[room]:
            bad.append(f'{room} defines nothing: nm was not understood')
    return bad


TESTS = [upward_includes, named_includes, public_headers, symbols]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--source', required=True)
    parser.add_argument('--build', required=True)
    args = parser.parse_args()
    rooms = Rooms(args.source, args.build)
    if len(rooms.allowed) < 10 or not rooms.commands:
        raise SystemExit('lib/meson.build or compile_commands.json was not understood')
    print(f'1..{len(TESTS)}')
    for number, test in enumerate(TESTS, 1):
        bad = test(rooms)
        print(('not ok' if bad else 'ok') + f' {number} - {test.__name__}')
        for line in bad:
            print(line, file=sys.stderr)


if __name__ == '__main__':
    main()
