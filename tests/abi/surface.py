#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the public surface from the headers: functions, structs with their members, numbers.

As a program: surface.py layout --source ROOT --build BUILD --cc CC writes tests/abi/layout.c to
standard output: a program that holds every offset, width and number as an assertion.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*', re.DOTALL)


class Surface:
    """The headers of one source tree and the generated ones of one build of it."""

    def __init__(self, source, build, cc='cc'):
        self.source = pathlib.Path(source)
        self.includes = [self.source / 'include', pathlib.Path(build) / 'include']
        self.cc = cc.split()
        self.headers = sorted(
            (h for i in self.includes for h in (i / 'stgraph').glob('*.h')), key=lambda h: h.name)
        self.text = {h.name: COMMENT.sub(' ', h.read_text()) for h in self.headers}

    def flags(self):
        return [f'-I{i}' for i in self.includes]

    def functions(self):
        """Name of every function marked STG_API -> its header."""
        found = {}
        for header, text in self.text.items():
            for name in re.findall(r'\bSTG_API\s+[^;{]*?\b(stg_\w+)\s*\(', text):
                if name in found:
                    raise SystemExit(f'{name} is declared in {found[name]} and in {header}')
                found[name] = header
        return found

    def prototypes(self):
        """Declarations of all functions and function types, one line each, for comparison."""
        found = []
        for text in self.text.values():
            text = re.sub(r'^\s*#(?:.*\\\n)*.*$', '', text, flags=re.MULTILINE)
            found += re.findall(r'\btypedef [^;{}]*\(\*\w+\)\([^;]*\);', text)
            found += re.findall(r'\bSTG_API\s+([^;{]*?\bstg_\w+\s*\([^;]*\);)', text)
        return [' '.join(f.split()) for f in found]

    def structs(self):
        """Name of every struct with a body -> its members and their types; "u.x" in unions."""
        found = {}
        for text in self.text.values():
            for name, body in re.findall(
                    r'typedef struct (stg_\w+)\s*\{(.*?)\n\}\s*\1\s*;', text, re.DOTALL):
                found[name] = members(body)
        return found

    def handles(self):
        """Names of structs that the headers only announce."""
        return {name for text in self.text.values()
                for name in re.findall(r'typedef struct (stg_\w+)\s+\1\s*;', text)}

    def numbers(self):
        """Enumerators and numeric macros, in the order of the headers."""
        out = subprocess.run(
            [*self.cc, '-E', '-P', *self.flags(), '-x', 'c', '-'], check=True, text=True,
            input='#include <stgraph/stgraph.h>\n', stdout=subprocess.PIPE).stdout
        names = [n for body in re.findall(r'\benum\s*\{([^}]*)\}', out)
                 for n in re.findall(r'\b(STG_\w+)\s*=', body)]
        for text in self.text.values():
            names += re.findall(
                r'^#define (STG_(?!VERSION|API\b)[A-Z0-9_]+) (?:\d\w*|U?INT\w+)$', text, re.MULTILINE)
        return names


def members(body, prefix=''):
    """Members of a struct's body, in order."""
    found = []
    for inner, name in re.findall(r'\bunion\s*\{(.*?)\}\s*(\w+)\s*;', body, re.DOTALL):
        found += members(inner, f'{prefix}{name}.')
    body = re.sub(r'\bunion\s*\{.*?\}\s*\w+\s*;', '', body, flags=re.DOTALL)
    for declaration in filter(None, (d.strip() for d in body.split(';'))):
        pointer = re.search(r'\(\*(\w+)\)', declaration)
        plain = re.fullmatch(r'([\w\s*]*?)\b(\w+)\s*(\[[^\]]*\])?', declaration)
        if pointer:
            found.append((prefix + pointer.group(1), declaration.replace(pointer.group(0), '(*)')))
        elif plain:
            kind = plain.group(1).strip() + (' *' if plain.group(3) else '')
            found.append((prefix + plain.group(2), ' '.join(kind.split())))
        else:
            raise SystemExit(f'cannot read the member "{declaration}"')
    return found


def measure(surface, structs, numbers):
    """Asks the compiler for all figures; one line of output for each."""
    lines = ['#include <stdio.h>', '#include <stddef.h>', '#include <stgraph/stgraph.h>',
             'int main(void) {']
    for name, fields in structs.items():
        lines.append(f'printf("SIZE({name[4:]}, %zu)\\n", sizeof({name}));')
        lines += [f'printf("AT({name[4:]}, {f}, %zu, %zu, {kind})\\n", offsetof({name}, {f}), '
                  f'sizeof((({name} *)0)->{f}));' for f, kind in fields]
    lines += [f'printf("IS({n}, %lld)\\n", (long long){n});' for n in numbers]
    lines.append('return 0; }')
    with tempfile.TemporaryDirectory() as folder:
        exe = pathlib.Path(folder) / 'probe'
        subprocess.run([*surface.cc, *surface.flags(), '-x', 'c', '-', '-o', str(exe)],
                       input='\n'.join(lines), text=True, check=True)
        return subprocess.run([str(exe)], check=True, text=True, stdout=subprocess.PIPE).stdout


HEAD = '''/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Written by tests/abi/refresh.sh; not to be edited. The layout of every public struct on 64-bit
 * machines, every public number and every prototype; abidiff alone takes a double for as good as
 * a uint64_t. A difference breaks programs that were built before: refresh only what was never
 * released, and what was only added.
 */
#include <stdint.h>
#include <stdio.h>

#include <stgraph/stgraph.h>

#define AT(type, member, at, bytes, ...)                                                           \\
    _Static_assert(offsetof(stg_##type, member) == (at), #type "." #member " has moved");          \\
    _Static_assert(sizeof(((stg_##type *)0)->member) == (bytes), #type "." #member " is wider");   \\
    _Static_assert(_Generic(((stg_##type *)0)->member, __VA_ARGS__: 1, default: 0),                \\
                   #type "." #member " has another type");
#define IS(name, number) _Static_assert((name) == (number), #name " has another number");

'''

TAIL = '''
#define SIZE(type, bytes) {#type, sizeof(stg_##type), bytes},

static const struct {
    const char *name;
    size_t header;
    size_t released;
} sizes[] = {
%s};

/* The size of a struct must be the released one in the headers and in the library. */
int main(void)
{
    int bad = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (sizes[i].header == sizes[i].released &&
            stg_struct_size(sizes[i].name) == sizes[i].released)
            continue;
        fprintf(stderr, "stg_%%s: %%zu bytes in the header, %%zu in the library, %%zu released\\n",
                sizes[i].name, sizes[i].header, stg_struct_size(sizes[i].name), sizes[i].released);
        bad = 1;
    }
    return bad;
}
'''


def layout(surface):
    lines = measure(surface, surface.structs(), surface.numbers()).splitlines()
    asserts = '\n'.join(line for line in lines if not line.startswith('SIZE'))
    sizes = ''.join(f'    {line}\n' for line in lines if line.startswith('SIZE'))
    prototypes = '\n'.join(surface.prototypes())
    return HEAD + asserts + '\n\n' + prototypes + '\n' + TAIL % sizes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('what', choices=['layout', 'functions'])
    parser.add_argument('--source', required=True)
    parser.add_argument('--build', required=True)
    parser.add_argument('--cc', default='cc')
    args = parser.parse_args()
    surface = Surface(args.source, args.build, args.cc)
    if args.what == 'layout':
        sys.stdout.write(layout(surface))
    else:
        print('\n'.join(sorted(surface.functions())))


if __name__ == '__main__':
    main()
