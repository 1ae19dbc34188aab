# SPDX-License-Identifier: Apache-2.0
"""Turns report.html into arrays of bytes: embed.py PAGE HEADER. The page is cut at its two marks."""
import sys


def array(name, content):
    """As bytes: the language promises no longer texts than 4095."""
    data = content.encode()
    lines = [','.join(map(str, data[at:at + 24])) for at in range(0, len(data), 24)]
    return f'static const unsigned char {name}[] = {{\n' + ',\n'.join(lines) + '};\n'


with open(sys.argv[1], encoding='utf-8') as f:
    head, rest = f.read().split('@TITLE@')
body, tail = rest.split('@DATA@')
with open(sys.argv[2], 'w', encoding='ascii') as f:
    f.write('/* Generated from report.html. */\n')
    for name, content in (('page_head', head), ('page_body', body), ('page_tail', tail)):
        f.write(array(name, content))
