#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests the ABI gate: breaks a copy of the tree in known ways and sees whether the gate says so.

plants.py --source ROOT [--cc CC] [--cxx CXX]
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

H = 'include/stgraph/'
MAP = 'lib/stgraph.map'
BEAT = 'lib/ingest/lane.c'  # where stg_lane_beat() is

# Name of the break, checks that must fail, edits: (file, pattern, replacement), each of which must
# fit exactly once.
PLANTS = [
    ('removed symbol', {'types'}, [
        (H + 'ingest.h', r'STG_API void stg_lane_beat\([^;]*;', ''),
        (MAP, r' *stg_lane_beat;\n', '')]),
    ('widened member', {'types', 'layout'}, [
        (H + 'ingest.h', r'uint32_t max_lanes;', 'uint64_t max_lanes;')]),
    ('inserted member', {'types', 'layout'}, [
        (H + 'ingest.h', r'(uint64_t windowed;)', r'uint64_t extra;\n\1')]),
    ('member of another type, as wide', {'layout'}, [
        (H + 'ingest.h', r'uint64_t gauge_ttl_ns;', 'double gauge_ttl_ns;')]),
    ('parameter of another type, as wide', {'layout'}, [
        (H + 'ingest.h', r'(stg_lane_beat\(stg_lane \*lane,) uint64_t', r'\1 double'),
        (BEAT, r'(stg_lane_beat\(stg_lane \*lane,) uint64_t (\w+)\)\n\{', r'\1 double \2)\n{')]),
    ('new export outside the map', {'symbols'}, [
        (H + 'ingest.h', r'STG_API void stg_lane_beat\(',
         'STG_API int32_t stg_lane_twin(const stg_lane *lane);\nSTG_API void stg_lane_beat('),
        (BEAT, r'\Z', '\nint32_t stg_lane_twin(const stg_lane *lane)\n{\n    return lane ? 1 : 0;\n}\n')]),
    ('private functions in the map', {'symbols'}, [
        (MAP, r'( *)stg_lane_beat;\n', r'\1stg_lane_beat;\n\1stg__alloc;\n')]),
    ('header not self-contained', {'alone'}, [
        (H + 'train.h', r'#include <stgraph/model.h>\n', '')]),
    ('private type in a header', {'opaque'}, [
        (H + 'ingest.h', r'STG_API void stg_lane_beat\(',
         'STG_API const struct stg__ring *stg_lane_ring(const stg_lane *lane);\n'
         'STG_API void stg_lane_beat(')]),
    ('body of a handle in a header', {'opaque'}, [
        (H + 'respond.h', r'typedef struct stg_plan stg_plan;',
         'typedef struct stg_plan stg_plan;\n#ifdef STG_BODIES\n'
         'struct stg_plan {\n    size_t actions;\n};\n#endif')]),
    ('number of a status changed', {'layout'}, [
        (H + 'base.h', r'X\(E_NOTFOUND, -11,', 'X(E_NOTFOUND, -14,')]),
]


def copy_tree(source, to):
    for name in ['include', 'lib', 'tests/abi']:
        shutil.copytree(source / name, to / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in ['meson.build', 'meson_options.txt']:
        shutil.copy(source / name, to / name)
    for name in ['examples', 'tests', 'bindings', 'doc']:
        if (source / name / 'meson.build').exists():
            (to / name).mkdir(exist_ok=True)
            (to / name / 'meson.build').write_text('')


class Tree:
    def __init__(self, root, args):
        self.root = root
        self.build = root / 'build'
        self.args = args

    def setup(self):
        quiet(['meson', 'setup', str(self.build), str(self.root), '-Ddefault_library=shared',
               '-Doptimization=0', '-Ddebug=true'], env={**os.environ, 'CC': self.args.cc})

    def make(self):
        quiet(['ninja', '-C', str(self.build)])

    def gate(self, checks):
        """Names of the checks that failed, those that passed, and all that was said."""
        out = subprocess.run(
            [sys.executable, str(self.root / 'tests/abi/gate.py'), '--source', str(self.root),
             '--build', str(self.build), '--cc', self.args.cc, '--cxx', self.args.cxx, *checks],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        failed = set(re.findall(r'^(\w+): failed', out.stdout, re.MULTILINE))
        passed = set(re.findall(r'^(\w+): passed', out.stdout, re.MULTILINE))
        if (out.returncode == 1) != bool(failed) or 'Traceback' in out.stdout:
            raise SystemExit(f'the gate ended with {out.returncode}:\n{out.stdout}')
        return failed, passed, out.stdout


def quiet(command, env=None):
    out = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         env=env, check=False)
    if out.returncode:
        raise SystemExit(f'{" ".join(command)} failed:\n{out.stdout[-4000:]}')


def plant(tree, edits):
    """Makes the edits; returns the texts to put back."""
    kept = {}
    for name, pattern, new in edits:
        path = tree.root / name
        text = path.read_text()
        kept.setdefault(path, text)
        changed, times = re.subn(pattern, new, text)
        if times != 1:
            raise SystemExit(f'{name}: "{pattern}" fits {times} times; mend tests/abi/plants.py')
        path.write_text(changed)
    return kept


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--source', required=True)
    parser.add_argument('--cc', default='cc')
    parser.add_argument('--cxx', default='c++')
    args = parser.parse_args()
    if not shutil.which('abidiff'):
        print('1..0 # SKIP abidiff (abigail-tools) is missing')
        return
    print(f'1..{len(PLANTS) + 1}')
    with tempfile.TemporaryDirectory(prefix='stgraph-abi-') as folder:
        tree = Tree(pathlib.Path(folder), args)
        copy_tree(pathlib.Path(args.source), tree.root)
        tree.setup()
        tree.make()
        failed, passed, said = tree.gate([])
        sound = not failed and len(passed) == 5
        print(('ok' if sound else 'not ok') + ' 1 - the sound tree passes')
        if not sound:
            print(said, file=sys.stderr)
        for number, (name, expected, edits) in enumerate(PLANTS, 2):
            kept = plant(tree, edits)
            tree.make()
            # The costly check, headers alone, runs where it is what must fail.
            failed, _, said = tree.gate({'symbols', 'types', 'layout', 'opaque'} | expected)
            found = expected <= failed
            print(('ok' if found else 'not ok') + f' {number} - {name}: {" ".join(sorted(failed))}')
            if not found:
                print(f'expected {expected}:\n{said}', file=sys.stderr)
            for path, text in kept.items():
                path.write_text(text)


if __name__ == '__main__':
    main()
