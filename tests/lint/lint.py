#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules that a compiler does not know: lint.py --source ROOT [--build BUILD] CHECK...

Each check is a function below with its rule as its first line. Exit code 1 when one failed, 77 when
one could not run; every finding is a line FILE:LINE: what.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ABI = pathlib.Path(__file__).resolve().parent.parent / 'abi'
sys.path.insert(0, str(ABI))
from surface import COMMENT, Surface  # noqa: E402  pylint: disable=wrong-import-position

CODE = {'.c', '.h', '.py', '.sh', '.go', '.in', '.map', '.build', '.sv', '.cpp', '.hpp'}
GENERATED = {'tests/abi/layout.c', 'tests/abi/stgraph-0.1.abi'}
BANNED = ('strcpy strcat sprintf vsprintf atoi atol atof strtok gets alloca abort exit _exit rand '
          'srand system printf puts putchar vprintf getenv setlocale signal perror').split()
MARKS = ['TO' + 'DO', 'FIX' + 'ME', 'X' * 3, 'HA' + 'CK', 'not ' + 'implemented', 'place' + 'holder',
         'for ' + 'now']
COMPLEXITY, HARD_COMPLEXITY, LINES, HARD_LINES, COLUMNS = 15, 25, 60, 100, 110
FILE_LINES, TEST_LINES = 600, 900


class Skip(Exception):
    """The check cannot run here."""


class Tree:
    def __init__(self, args):
        self.root = pathlib.Path(args.source).resolve()
        self.build = args.build
        self.paths = sorted(self.listed() or self.walked())
        if len(self.paths) < 20:
            raise SystemExit(f'only {len(self.paths)} files in {self.root}')

    def listed(self):
        """What git tracks, and what it would if asked; nothing when this is no repository."""
        if not shutil.which('git'):
            return []
        out = subprocess.run(
            ['git', '-c', f'safe.directory={self.root}', '-C', str(self.root), 'ls-files', '-z',
             '--cached', '--others', '--exclude-standard'], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, check=False).stdout
        return [self.root / n for n in out.split('\0') if n and (self.root / n).is_file()]

    def walked(self):
        return [p for p in self.root.rglob('*') if p.is_file() and
                not re.match(r'build|\.git/', str(p.relative_to(self.root)))]

    def name(self, path):
        return str(path.relative_to(self.root))

    def code(self, *under):
        """Source files that people write, below one of the folders when given."""
        return [p for p in self.paths
                if (p.suffix in CODE or p.name in ('run', 'meson_options.txt')) and
                self.name(p) not in GENERATED and
                (not under or self.name(p).startswith(tuple(u + '/' for u in under)))]

    def c_code(self):
        return [p for p in self.code() if p.suffix in ('.c', '.h')]


def without_comments(text):
    """Comments become blanks of as many lines, string contents go."""
    text = COMMENT.sub(lambda m: '\n' * m.group(0).count('\n'), text)
    return re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)


def each_match(tree, paths, pattern, what, text_of=lambda p: p.read_text()):
    bad = []
    for path in paths:
        for number, line in enumerate(text_of(path).splitlines(), 1):
            found = re.search(pattern, line)
            if found:
                bad.append(f'{tree.name(path)}:{number}: {what} {found.group(0).strip()}'.rstrip())
    return bad


def complexity(tree):
    """Functions: 60 lines, complexity 15; files: 600 lines; tests, being lists: 100, 25, 900."""
    if not shutil.which('pmccabe'):
        raise Skip('pmccabe is missing')
    paths = [p for p in tree.c_code() if p.suffix == '.c']
    # It wonders about macros that make a whole program, at the end of a file; nothing else.
    out = subprocess.run(['pmccabe', *map(str, paths)], check=True, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    bad, seen = [], 0
    for line in out.splitlines():
        modified, _, _, _, length, where = line.split('\t')
        seen += 1
        hard = int(modified) > HARD_COMPLEXITY or int(length) > HARD_LINES
        soft = int(modified) > COMPLEXITY or int(length) > LINES
        if hard or soft and f'{tree.root}/tests/' not in where:
            bad.append(f'{where}: complexity {modified}, {length} lines'
                       f'{", above the hard limit" if hard else ""}')
    if seen < len(paths):
        bad.append(f'pmccabe saw {seen} functions in {len(paths)} files')
    for path in tree.code():
        lines = path.read_text().count('\n')
        if lines > (TEST_LINES if tree.name(path).startswith('tests/') else FILE_LINES):
            bad.append(f'{tree.name(path)}: {lines} lines')
    return bad


def banned(tree):
    """lib/ never ends, prints, reads the environment or uses functions without a bound."""
    pattern = r'(?<![\w.>])(?:' + '|'.join(BANNED) + r')\s*\('
    paths = [p for p in tree.code('lib') if p.suffix in ('.c', '.h')]
    bad = each_match(tree, paths, pattern, 'banned', lambda p: without_comments(p.read_text()))
    # Memory comes from the context; its default allocator is the one place that may call these.
    paths = [p for p in paths if p.name != 'ctx.c']
    return bad + each_match(tree, paths, r'(?<![\w.>])(?:malloc|calloc|realloc|strdup|strndup|free)\s*\(',
                            'not the context\'s memory:', lambda p: without_comments(p.read_text()))


def spdx(tree):
    """The licence line is among the first two lines of every source file."""
    return [f'{tree.name(p)}: no SPDX line' for p in tree.code()
            if 'SPDX-License-Identifier: Apache-2.0' not in ''.join(
                p.read_text().splitlines(True)[:2])]


def whitespace(tree):
    """No blanks at line ends, no tabs in C, one newline at the end, 100 columns (hard 110)."""
    texts = [p for p in tree.paths if p in set(tree.code()) or p.suffix == '.md']
    bad = each_match(tree, texts, r'[ \t]+$', 'blanks at the end')
    bad += each_match(tree, tree.c_code(), r'\t', 'tab')
    for path in texts:
        text = path.read_text()
        if text and (not text.endswith('\n') or text.endswith('\n\n')):
            bad.append(f'{tree.name(path)}: not one newline at the end')
    # A word too many happens; tables of sources in meson.build and links cannot be broken.
    lines = [p for p in tree.code() if p.suffix in ('.c', '.h', '.py')]
    return bad + each_match(tree, lines, r'^.{%d,}$' % (COLUMNS + 1), 'too long:')


def names(tree):
    """No two C files have the same name."""
    seen = {}
    for path in tree.c_code():
        seen.setdefault(path.name, []).append(tree.name(path))
    return [' and '.join(same) for same in seen.values() if len(same) > 1]


def marks(tree):
    """No promises to do something later."""
    pattern = r'(?i)\b(?:' + '|'.join(MARKS) + r')\b'
    return each_match(tree, tree.code(), pattern, 'left-over mark')


def paths(tree):
    """No path of one machine."""
    texts = [p for p in tree.paths if p.suffix in CODE | {'.md', '.json', '.txt'}]
    return each_match(tree, texts, r'(?<![\w.])/(?:work|root|home)/\w*', 'path')


def heads(tree):
    """Every .c of lib/ opens with a comment that says what it does in the flow of the data."""
    bad = []
    for path in tree.code('lib'):
        if path.suffix != '.c':
            continue
        first = re.match(r'(?:/\*[^\n]*SPDX[^\n]*\*/\n)(/\*.*?\*/)', path.read_text(), re.DOTALL)
        if not first or len(first.group(1)) < 60:
            bad.append(f'{tree.name(path)}: does not say what it does')
    return bad


def tested(tree):
    """Every public function is called in a test, every struct with a size tried in sizes_test.c."""
    surface = Surface(tree.root, tree.build)
    text = '\n'.join(without_comments(p.read_text()) for p in tree.code('tests')
                     if p.suffix in ('.c', '.h'))
    bad = [f'{name}: in no test' for name in sorted(surface.functions())
           if not re.search(rf'\b{name}\s*\(', text)]
    sizes = (ABI / 'sizes_test.c').read_text()
    # What the library hands to a callback is filled by it alone.
    return bad + [f'{name}: its size is not tried in sizes_test.c'
                  for name, fields in surface.structs().items()
                  if fields[0][0] == 'size' and f'"{name[4:]}"' not in sizes
                  and name != 'stg_train_progress']


def scripts(tree):
    """Shell scripts pass shellcheck."""
    if not shutil.which('shellcheck'):
        raise Skip('shellcheck is missing')
    shells = [str(p) for p in tree.code() if p.suffix == '.sh' or p.name == 'run']
    out = subprocess.run(['shellcheck', '-x', '-f', 'gcc', *shells], cwd=tree.root, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return out.stdout.splitlines() if out.returncode else []


def docs(tree):
    """Doxygen finds every public item documented."""
    if not shutil.which('doxygen'):
        raise Skip('doxygen is missing')
    surface = Surface(tree.root, tree.build)
    with tempfile.TemporaryDirectory() as folder:
        config = (tree.root / 'doc' / 'Doxyfile').read_text() + '\n'.join([
            '', f'INPUT = {" ".join(str(h) for h in surface.headers)}',
            f'OUTPUT_DIRECTORY = {folder}', f'STRIP_FROM_PATH = {tree.root}', 'GENERATE_HTML = NO',
            'GENERATE_XML = YES'])
        out = subprocess.run(['doxygen', '-'], input=config, text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, check=False)
        bad = [line for line in out.stdout.splitlines() if 'warning:' in line or 'error:' in line]
        if out.returncode and not bad:
            bad = out.stdout.splitlines()[-5:]
        # An empty run would find nothing to complain about either.
        told = ''.join(p.read_text() for p in (pathlib.Path(folder) / 'xml').glob('*.xml'))
        bad += [f'{n}: doxygen did not see it' for n in surface.functions()
                if f'<name>{n}</name>' not in told]
    return bad


CHECKS = [complexity, banned, spdx, whitespace, names, marks, paths, heads, tested, scripts, docs]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checks', nargs='*', metavar='CHECK')
    parser.add_argument('--source', required=True)
    parser.add_argument('--build')
    args = parser.parse_args()
    tree = Tree(args)
    known = {c.__name__: c for c in CHECKS}
    code = 0
    for name in args.checks or list(known):
        check = known[name]
        try:
            bad = check(tree)
        except Skip as why:
            print(f'{name}: skipped, {why}')
            code = code or 77
            continue
        print(f'{name}: {"failed: " + check.__doc__ if bad else "passed"}')
        print(''.join(f'  {line}\n' for line in bad), end='')
        code = 1 if bad else code
    return code


if __name__ == '__main__':
    sys.exit(main())
