#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ABI gate: says whether the headers, the map and the library still keep their promise.

gate.py --source ROOT --build BUILD [--cc CC] [--cxx CXX] CHECK...    (no CHECK: all of them)

  symbols   what the headers declare == what the map lists == what the library exports
  types     abidiff against the baseline: nothing removed, nothing changed
  layout    offsets, widths and numbers as tests/abi/layout.c holds them, and none missing there
  alone     every header compiles by itself, in five dialects of C and C++
  opaque    headers show no private name, no body of a handle and include nothing foreign
Exit code 0: all passed, 1: some failed, 77: skipped (says why).
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys

from surface import Surface, layout

DIALECTS = ['c99', 'c11', 'gnu17', 'c++11', 'c++17']
STABLE_FUNCTIONS = 90


class Skip(Exception):
    """The check cannot run here."""


class Gate:
    def __init__(self, args):
        self.source = pathlib.Path(args.source)
        self.build = pathlib.Path(args.build)
        self.cc = args.cc.split()
        self.cxx = args.cxx.split()
        self.abi = self.source / 'tests' / 'abi'
        self.shared_object = self.build / 'lib' / 'libstgraph.so'
        self.surface = Surface(args.source, args.build, args.cc)

    def mapped(self):
        text = re.sub(r'/\*.*?\*/', '', (self.source / 'lib' / 'stgraph.map').read_text(),
                      flags=re.DOTALL)
        return set(re.findall(r'^\s*(stg[\w*?]*);', text, re.MULTILINE))

    def exported(self):
        out = run(['nm', '-D', '--defined-only', str(self.shared_object)])
        return {line.split()[-1].split('@')[0] for line in out.splitlines()
                if ' A ' not in line}

    def symbols(self):
        declared, mapped, exported = set(self.surface.functions()), self.mapped(), self.exported()
        bad = []
        bad += [f'{n}: in the map, in no header' for n in mapped - declared]
        bad += [f'{n}: in a header, not in lib/stgraph.map' for n in declared - mapped]
        bad += [f'{n}: exported, not in the map' for n in exported - mapped]
        bad += [f'{n}: in the map, not exported' for n in mapped - exported]
        if len(declared) > STABLE_FUNCTIONS:
            bad.append(f'{len(declared)} functions, more than {STABLE_FUNCTIONS}')
        return bad

    def types(self):
        baseline = self.abi / 'stgraph-0.1.abi'
        if not shutil.which('abidiff'):
            raise Skip('abidiff (abigail-tools) is missing')
        if '.debug_info' not in run(['readelf', '-SW', str(self.shared_object)]):
            raise Skip('the library has no debug information')
        text = baseline.read_text()
        described = set(re.findall(r"<function-decl name='(\w+)' mangled-name", text))
        symbols = set(re.findall(r"<elf-symbol name='(\w+)'", text))
        bad = [f'{n}: the baseline has no type for it' for n in symbols - described]
        # A type without a header's name is private to abidiff: it would not compare it.
        bad += [f'the baseline does not say where {n} is declared' for n in
                re.findall(r"<class-decl name='(stg_\w+)' size-in-bits(?![^>]*filepath)", text)]
        # Every difference counts, harmless-looking ones too: a changed member is exit bit 4 only.
        diff = subprocess.run(
            ['abidiff', '--headers-dir2', str(self.source / 'include'), str(baseline),
             str(self.shared_object)], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            check=False)
        if diff.returncode:
            bad.append(f'abidiff says {diff.returncode}:\n{diff.stdout}')
        return bad

    def layout(self):
        path = self.abi / 'layout.c'
        done = self.compile('c11', path.read_text(), [])
        bad = [done] if done else []
        if not bad and layout(self.surface) != path.read_text():
            bad.append('tests/abi/layout.c lacks something that the headers have')
        return bad

    def compile(self, dialect, text, flags):
        """Empty when the text compiles, the compiler's words otherwise."""
        plus = '++' in dialect
        result = subprocess.run(
            [*(self.cxx if plus else self.cc), *self.surface.flags(), f'-std={dialect}', *flags,
             '-fsyntax-only', '-x', 'c++' if plus else 'c', '-'], input=text, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return result.stdout if result.returncode else ''

    def alone(self):
        flags = ['-pedantic-errors', '-Wall', '-Wextra', '-Werror']
        bad = []
        for header in self.surface.headers:
            # Twice: the guard must hold. A use after it: the header must close what it opens.
            text = f'#include <stgraph/{header.name}>\n' * 2 + 'typedef size_t stg_used_after;\n'
            for dialect in DIALECTS:
                said = self.compile(dialect, text, flags)
                if said:
                    bad.append(f'{header.name} alone as {dialect}:\n{said}')
        return bad

    def opaque(self):
        bad = []
        handles = self.surface.handles()
        for header, text in self.surface.text.items():
            bad += [f'{header}: private name {n}'
                    for n in sorted(set(re.findall(r'\b(?:stg__|STG__)\w+', text)))]
            bad += [f'{header}: body of the handle {n}'
                    for n in re.findall(r'\bstruct (stg_\w+)\s*\{', text) if n in handles]
            bad += [f'{header}: includes {n}' for n in re.findall(r'#\s*include\s*(\S+)', text)
                    if not re.fullmatch(r'<(stgraph/\w+|stddef|stdint)\.h>', n)]
            bad += [f'{header}: static, inline or variadic: {n.strip()}'
                    for n in re.findall(r'^.*\b(?:static|inline)\b.*$|^.*\(.*\.\.\.\).*$', text,
                                        re.MULTILINE)]
        return bad


def run(command):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


CHECKS = ['symbols', 'types', 'layout', 'alone', 'opaque']


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checks', nargs='*', metavar='CHECK')
    parser.add_argument('--source', required=True)
    parser.add_argument('--build', required=True)
    parser.add_argument('--cc', default='cc')
    parser.add_argument('--cxx', default='c++')
    args = parser.parse_args()
    gate = Gate(args)
    code = 0
    for name in args.checks or CHECKS:
        if name not in CHECKS:
            parser.error(f'no check is called {name}')
        try:
            bad = getattr(gate, name)()
        except Skip as why:
            print(f'{name}: skipped, {why}')
            code = code or 77
            continue
        print(f'{name}: {"failed" if bad else "passed"}')
        for line in bad:
            print(f'  {line}')
        if bad:
            code = 1
    if code == 1:
        print('if the change was meant and nothing of it was released: tests/abi/refresh.sh')
    return code


if __name__ == '__main__':
    sys.exit(main())
