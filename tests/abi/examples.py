#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles the example of every public header, as C and as C++, and the programs in doc/ as C:
examples.py --source ROOT --build BUILD [--cc CC] [--cxx CXX]

What an example takes for granted (a context, a graph ...) it gets as arguments of the function that
it is put into.
"""
import argparse
import re
import subprocess
import sys

from surface import Surface

FRAME = '''#include <stdio.h>
#include <string.h>
#include <stgraph/%(header)s>
%(more)s
int example(stg_ctx *ctx%(given)s);
int example(stg_ctx *ctx%(given)s)
{
    stg_error err = stg_error();
    {
%(code)s
    }
    (void)ctx;
    (void)err;
    return 0;
}
'''

# Objects of other headers, by the first header that knows their types.
GIVEN = {
    'model.h': 'const stg_graph *graph, stg_bundle *bundle',
    'monitor.h': 'stg_bundle *bundle, const stg_call *calls, size_t n, uint64_t window_end',
    'respond.h': 'const stg_graph *graph, const stg_report *report, const stg_forecast *forecast',
    'score.h': 'const stg_graph *graph, const stg_forecast *forecast, stg_bundle *bundle',
    'telemetry.h': 'stg_lane *lane, const char *bytes, size_t len',
    'train.h': 'const stg_graph *graph',
}
WITHOUT = {'stgraph.h', 'version.h'}


def example(header):
    block = re.search(r'@code\n(.*?)@endcode', header.read_text(), re.DOTALL)
    if not block:
        return None
    return '\n'.join(re.sub(r'^ \* ?', '', line) for line in block.group(1).splitlines())


def programs(root):
    """Blocks of C in the pages that are whole: they include what they need."""
    for page in sorted((root / 'doc').glob('*.md')):
        for block in re.findall(r'^```c\n(.*?)^```', page.read_text(), re.DOTALL | re.MULTILINE):
            if '#include' in block:
                yield page.name, '#include <stdio.h>\n' + block


def compile_text(compiler, flags, text):
    return subprocess.run([*compiler, '-Wall', '-Wextra', '-Werror', '-fsyntax-only', *flags, '-'],
                          input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False).stdout


def report(number, what, said):
    print(('not ok' if said else 'ok') + f' {number} - {what}')
    if said:
        print(said, file=sys.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--source', required=True)
    parser.add_argument('--build', required=True)
    parser.add_argument('--cc', default='cc')
    parser.add_argument('--cxx', default='c++')
    args = parser.parse_args()
    surface = Surface(args.source, args.build, args.cc)
    headers = [h for h in surface.headers if h.name not in WITHOUT]
    pages = list(programs(surface.source))
    print(f'1..{2 * len(headers) + len(pages)}')
    number = 0
    for header in headers:
        code = example(header)
        given = ''.join(f', {g}' for g in [GIVEN.get(header.name)] if g)
        for compiler, dialect, kind in [(surface.cc, 'c11', 'c'), (args.cxx.split(), 'c++17', 'c++')]:
            number += 1
            said = 'it has no example'
            if code:
                text = FRAME % {'header': header.name, 'given': given, 'code': code, 'more': ''}
                if kind == 'c':
                    text = text.replace('stg_error err = stg_error();', 'stg_error err = {0};')
                flags = [*surface.flags(), f'-std={dialect}', '-x', kind,
                         '-Wno-missing-field-initializers']
                said = compile_text(compiler, flags, text)
            report(number, f'{header.name} as {dialect}', said)
    for number, (page, text) in enumerate(pages, number + 1):
        flags = [*surface.flags(), '-std=c11', '-x', 'c']
        report(number, page, compile_text(surface.cc, flags, text))


if __name__ == '__main__':
    main()
