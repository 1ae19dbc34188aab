#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs a build into an empty root and uses it as a stranger would: consumer.py --build BUILD
--source ROOT [--cc CC] [--cxx CXX]

Programs in C and C++ are compiled through pkg-config against the shared and the static library and
run. What the shared library needs, its name, and how it was hardened are read from its file.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

NEEDED = {'libcjson.so.1', 'libm.so.6', 'libc.so.6'}


class Consumer:
    def __init__(self, args, root):
        self.args = args
        self.root = root
        run(['meson', 'install', '-C', args.build, '--no-rebuild', '--quiet', '--destdir', str(root)])
        found = list(root.rglob('stgraph.pc'))
        if len(found) != 1:
            raise SystemExit(f'{len(found)} files stgraph.pc were installed')
        self.pc = found[0]
        self.shared_object = self.pc.parent.parent
        self.so = self.shared_object / 'libstgraph.so'

    def flags(self, linked):
        """What pkg-config says with the empty root as a root. "static" means our archive, with the
        libraries it needs as the system has them: their archives are the system's affair."""
        here = {**os.environ, 'PKG_CONFIG_SYSROOT_DIR': str(self.root),
                'PKG_CONFIG_PATH': str(self.pc.parent)}
        words = run(['pkg-config', '--cflags', '--libs', 'stgraph'], env=here).split()
        if linked == 'shared':
            return words
        needs = run(['pkg-config', '--print-requires-private', 'stgraph'], env=here).split()
        private = re.findall(r'^Libs.private:(.*)$', self.pc.read_text(), re.MULTILINE)
        words = [str(self.shared_object / 'libstgraph.a') if w == '-lstgraph' else w for w in words]
        return words + run(['pkg-config', '--libs', *needs]).split() + ' '.join(private).split()

    def build(self, compiler, text, language, linked):
        source = self.root / f'program.{language}'
        source.write_text(text)
        program = self.root / f'program-{language}-{linked}'
        run([*compiler, '-Wall', '-Wextra', '-Werror', str(source), '-o', str(program),
             *self.flags(linked)])
        return program

    def use(self, compiler, language, linked):
        program = self.build(compiler, PROGRAM, language, linked)
        needs = dynamic(program, 'NEEDED')
        if ('libstgraph.so.0' in needs) != (linked == 'shared'):
            return f'needs {needs}'
        out = run([str(program)], env={**os.environ, 'LD_LIBRARY_PATH': str(self.shared_object)})
        return '' if out == f'{version(self.args.source)} 3 nodes\n' else f'said {out!r}'


PROGRAM = '''#include <stdio.h>
#include <string.h>
#include <stgraph/stgraph.h>

int main()
{
    stg_ctx *ctx;
    stg_graph_builder *builder;
    const stg_graph *graph;
    uint32_t a, b, e;
    stg_graph_info info;
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    if (stg_version() != STG_VERSION_NUMBER || stg_ctx_create(&ctx, NULL) != STG_OK)
        return 1;
    if (stg_graph_builder_create(&builder, ctx, NULL) != STG_OK ||
        stg_graph_builder_begin(builder, 0, 1000) != STG_OK ||
        stg_graph_builder_node(builder, "web", 3, &a) != STG_OK ||
        stg_graph_builder_node(builder, "cart", 4, &b) != STG_OK ||
        stg_graph_builder_edge(builder, a, b, "", 0, &e) != STG_OK ||
        stg_graph_builder_finish(builder, &graph) != STG_OK ||
        stg_graph_get_info(graph, &info) != STG_OK)
        return 1;
    printf("%s %u nodes\\n", stg_version_string(), (unsigned)info.nodes);
    stg_unref(graph);
    stg_graph_builder_destroy(builder);
    stg_ctx_destroy(ctx);
    return 0;
}
'''


def run(command, env=None):
    out = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         env=env, check=False)
    if out.returncode:
        raise SystemExit(f'{" ".join(command)} ended with {out.returncode}:\n{out.stdout}')
    return out.stdout


def dynamic(path, tag):
    out = run(['readelf', '-dW', str(path)])
    return re.findall(rf'\({tag}\).*\[([^\]]+)\]', out)


def version(source):
    text = (pathlib.Path(source) / 'meson.build').read_text()
    return re.search(r"version: '([0-9.]+)'", text).group(1)


def needed(consumer):
    """The library needs CBLAS, cJSON, libm, libc and nothing else."""
    more = set(dynamic(consumer.so, 'NEEDED')) - NEEDED
    return f'needs {more} too' if more else ''


def name(consumer):
    said = dynamic(consumer.so, 'SONAME')
    link = os.readlink(consumer.so)
    return '' if said == ['libstgraph.so.0'] and link == 'libstgraph.so.0' else f'{said}, {link}'


def hardened(consumer):
    """Read-only relocations, bound at load; no executable stack; no writable code; no run path."""
    text = run(['readelf', '-lW', str(consumer.so)])
    tags = run(['readelf', '-dW', str(consumer.so)])
    bad = []
    if 'GNU_RELRO' not in text:
        bad.append('no GNU_RELRO')
    if not re.search(r'BIND_NOW|FLAGS_1.*NOW', tags):
        bad.append('not bound at load')
    if not re.search(r'GNU_STACK\s+\S+\s+\S+\s+\S+\s+\S+\s+\S+\s+RW\s', text):
        bad.append('the stack is executable')
    if re.search(r'LOAD .* RWE ', text):
        bad.append('writable code')
    if 'TEXTREL' in tags or 'RPATH' in tags or 'RUNPATH' in tags:
        bad.append('relocations in code, or a run path')
    return ', '.join(bad)


# What the compilers put in themselves: a hook for frames, and the table of the processor's features.
RUNTIME = {'frame_dummy', '__do_global_dtors_aux', '__cpu_indicator_init'}


def silent(consumer):
    """Loading and unloading the library runs nothing of ours."""
    sections = run(['readelf', '-SW', str(consumer.so)])
    names = {int(a, 16): n for a, n in re.findall(
        r'^([0-9a-f]+) [tT] (\w+)$', run(['nm', str(consumer.so)]), re.MULTILINE)}
    run_at = []
    for start, size in re.findall(
            r'\.(?:init|fini|preinit)_array\s+\w+\s+([0-9a-f]+)\s+\w+\s+([0-9a-f]+)', sections):
        first, last = int(start, 16), int(start, 16) + int(size, 16)
        run_at += [int(to, 16) for at, to in re.findall(
            r'^([0-9a-f]+)\s+\w+\s+R_\w+_RELATIVE\s+([0-9a-f]+)$',
            run(['readelf', '-rW', str(consumer.so)]), re.MULTILINE)
                   if first <= int(at, 16) < last]
    if not run_at:
        return 'the entries of init_array were not understood'
    found = {names.get(a, hex(a)) for a in run_at} - RUNTIME
    return f'runs {sorted(found)}' if found or '.ctors' in sections else ''


def private(consumer):
    """Headers are those of the tree; nothing private was installed."""
    have = {p.name for p in consumer.root.rglob('*.h')}
    want = {p.name for p in (pathlib.Path(consumer.args.source) / 'include/stgraph').glob('*.h')}
    return '' if have == want | {'version.h'} else f'installed {sorted(have)}'


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--source', required=True)
    parser.add_argument('--build', required=True)
    parser.add_argument('--cc', default='cc')
    parser.add_argument('--cxx', default='c++')
    args = parser.parse_args()
    folder = tempfile.mkdtemp(prefix='stgraph-install-')
    try:
        consumer = Consumer(args, pathlib.Path(folder))
        tests = [(f'a program in {kind}, {linked}', lambda c, x=compiler, k=kind, m=linked:
                  c.use(x.split(), k, m))
                 for kind, compiler in [('c', args.cc), ('cpp', args.cxx)]
                 for linked in ['shared', 'static']]
        tests += [(f.__name__, f) for f in [needed, name, hardened, silent, private]]
        print(f'1..{len(tests)}')
        for number, (what, test) in enumerate(tests, 1):
            try:
                bad = test(consumer)
            except SystemExit as why:
                bad = str(why)
            print(('not ok' if bad else 'ok') + f' {number} - {what}')
            if bad:
                print(bad, file=sys.stderr)
    finally:
        shutil.rmtree(folder)


if __name__ == '__main__':
    main()
