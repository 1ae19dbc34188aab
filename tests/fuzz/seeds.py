#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the first seeds of the targets whose inputs are lists of orders, and of torch: seeds.py CORPUS

Each order is a byte that chooses it and the bytes it reads, as the target's table of orders has them.
An input of torch is a file, or the pickle for one.
What a live run found on top of them stands in the same folders under names of its own.
"""
import collections
import functools
import io
import pathlib
import pickle
import struct
import sys
import types
import zipfile

WEB, CART, EMPTY, NUL, SCRIPT, LATIN, LONGEST = 1, 2, 9, 10, 12, 13, 25  # fuzz_name()
NAN, INF, ZERO, MINUS, HUGE = 0, 1, 3, 5, 8  # fuzz_value()


def u64(value):
    return struct.pack('<Q', value)


def topology():
    """begin, node, edge, column, set, set, finish"""
    begin = bytes([0, 4])
    nodes = b''.join(bytes([1, n]) for n in (WEB, CART, NUL, SCRIPT, LATIN, LONGEST, EMPTY))
    edges = b''.join(bytes([2, a, b, r]) for a, b, r in
                     ((0, 1, 8), (1, 2, EMPTY), (2, 3, NUL), (5, 5, SCRIPT), (9, 0, 8), (3, 1, LONGEST)))
    columns = b''.join(bytes([3, kind, name]) for kind in (0, 1, 2) for name in (5, 6, 7, SCRIPT, EMPTY))
    sets = b''.join(bytes([4, how, i, c, v]) for how in (0, 1) for i in (0, 1, 3) for c in (0, 1)
                    for v in (NAN, INF, HUGE, 90))
    wrong = bytes([4, 252, 0, 90, 4, 246, 0, 90, 4, 2, 0, 0, 90])
    whole = nodes + edges + columns + sets + wrong
    yield 'whole', bytes([0]) + begin + whole + bytes([6, 0]) + begin + sets + bytes([6, 1])
    yield 'limits', bytes([8 + 16 + 32]) + begin + whole * 2 + bytes([6, 0])
    yield 'grows', bytes([1]) + b''.join(
        begin + bytes([1, 47 + i, i, i, i]) + bytes([2, i, 0, 8, 6, 0]) for i in range(20))
    yield 'times', bytes([0]) + b''.join(
        bytes([0, 3]) + u64(a) + u64(b) + bytes([6, 0])
        for a, b in ((0, 1), (5, 5), (9, 3), (2**64 - 2, 2**64 - 1), (0, 2**64 - 1)))


def gauges():
    """gauge, gauge, line, bytes, intern, close, poll, lane"""
    names = b''.join(bytes([4, how, n]) for how in (0, 1, 2) for n in (WEB, CART, SCRIPT, LONGEST))
    some = b''.join(bytes([0, 16 + node, 8 * 16 + 3, p] + [p * 5] * 7)
                    for node in (1, 2, 3) for p in range(4))
    close = bytes([5, 0])
    yield 'levels', bytes([6]) + names + some + close + some + close * 8
    yield 'many', bytes([2]) + names + bytes([0, 48 + 1, 131, 0] + [9] * 7) * 3 + close + \
        bytes([0, 48 + 129, 131, 40] + [9] * 7) + close * 3
    yield 'clocks', bytes([6]) + names + b''.join(
        bytes([0, 17]) + when + bytes([1] + [255] * 7) + close
        for when in (bytes([0]) + u64(2**64 - 1), bytes([0]) + u64(0), bytes([1]), bytes([9]),
                     bytes([2]), bytes([250]), bytes([3])))
    yield 'jumps', bytes([6]) + names + some + bytes([5, 15]) + u64(2**64 - 1) + some + \
        bytes([5, 15]) + u64(0) + some + close
    lines = b''.join(bytes([2, 3, 131] + [k, v, k + 1, v, 5, v]) for k in range(12) for v in range(14))
    yield 'lines', bytes([6]) + lines + close * 2
    yield 'broken', bytes([6]) + b''.join(
        bytes([2, 16 + 2, 131, 0, 6, 2, 2, at, 34]) for at in range(0, 60, 3)) + close
    text = b'{"time_ns":1700000000000000000,"node":"web","open":3}\n'
    yield 'bytes', bytes([6]) + bytes([3, len(text) - 1]) + text + close
    yield 'lanes', bytes([6]) + names + some + bytes([7, 0, 7, 1, 6, 7, 4, 131]) + names + some + close


def snapshot():
    """windows, node, edge, value, value, column, time, how, learn, windows"""
    for kind in range(3):
        yield f'flood-{kind}', bytes([kind, 0, 7, 0, 16 + 7 * 32 + 9, 0, 15])
        yield f'values-{kind}', bytes([kind, 0, 4]) + b''.join(
            bytes([3, k, i, c, v, 0, 0]) for k, i, c, v in
            ((0, 1, 0, NAN), (1, 0, 0, INF), (0, 2, 2, HUGE), (1, 1, 0, MINUS), (1, 2, 5, 10)))
        yield f'columns-{kind}', bytes([kind, 0, 3]) + b''.join(
            bytes([5, c * 2 + k, v, 0, 0]) for c in range(3) for k in (0, 1) for v in (NAN, HUGE, ZERO))
        yield f'grow-{kind}', bytes([kind]) + b''.join(
            bytes([0, 1, 1, n, 2, 1, 3, SCRIPT, 2, 3, i, n, 0, 0])
            for i, n in enumerate((SCRIPT, LATIN, NUL, LONGEST, 8, 60)))
        yield f'time-{kind}', bytes([kind, 0, 3]) + b''.join(
            bytes([6, how]) + more + bytes([0, 0]) for how, more in
            ((5 + 8, b''), (1 + 24, b''), (5 + 240, b''), (0, u64(77)), (2, u64(12345)),
             (4, b''), (3 + 8, u64(2**40)), (4, b'')))
        yield f'mask-{kind}', bytes([kind, 0, 4]) + b''.join(
            bytes([7, 4, m, 0, 1]) for m in (1, 254, 255, 0, 6))
        # More and more calls after 30 ordinary windows: replicas are proposed.
        yield f'demand-{kind}', bytes([64 + (kind + 2) % 3, 0, 15, 0, 15, 7, 6, 255]) + \
            b''.join(bytes([0, 16 + 1 + 32 * f]) for f in (1, 1, 2, 2, 3, 3))
    yield 'learn', bytes([0, 8, 61, 0, 3, 0, 16 + 4 * 32 + 9])
    yield 'learn-bare', bytes([2 + 128, 7, 1, 5, 0, 90, 5, 1, 60, 8, 62, 0, 9])
    yield 'learn-huge', bytes([1, 3, 1, 0, 0, 7, 3, 0, 1, 2, HUGE, 8, 61, 0, 9])


def model():
    """meta, value (three times), all, shape, drop, copy; the first byte: kind and prefix"""
    for kind in range(3):
        yield f'good-{kind}', bytes([kind])
        for what in range(1, 8):
            yield f'do-{kind}-{what}', bytes([kind + 3 * (what % 8)]) + b''.join(
                bytes([what, place * 9, place * 31 % 256, 1, NAN if place % 2 else 40])
                for place in range(4))
    for number in range(24):
        yield f'meta-{number}', bytes([number % 3, 0, 0, number, number])
    for place in range(0, 24, 2):
        yield f'shape-{place}', bytes([2, 5, place * 7, 4 + place % 4, 5 + place, 1])


def state():
    """as model; the first byte: kind, prefix, and 128 for the parts alone"""
    for kind in range(3):
        for alone in (0, 126):
            yield f'good-{kind}-{alone}', bytes([kind + alone])
        for prefix in range(8):
            for what in range(1, 8):
                yield f'do-{kind}-{prefix}-{what}', bytes([kind + 3 * prefix]) + bytes(
                    [what, (prefix * 37 + what) % 256, 31 * what, 1, NAN if what % 2 else 40])
    for number in range(24):
        yield f'meta-{number}', bytes([number % 3 + 126 * (number % 2), 0, 0, number * 3, number])


class Call:
    """What a pickle says when an object asks for a call."""
    def __init__(self, function, *args):
        self.made_by = (function, args)

    def __reduce__(self):
        return self.made_by


class Storage(tuple):
    """Known by its persistent id."""


class Pickler(pickle._Pickler):  # pylint: disable=protected-access
    """The one in Python: the other one would import what the names stand for."""
    def persistent_id(self, obj):
        return tuple(obj) if isinstance(obj, Storage) else None


@functools.lru_cache(None)
def stranger(module, name):
    """A function of a module that need not exist."""
    sys.modules.setdefault(module, types.ModuleType(module))
    function = type(name, (), {'__module__': module, '__qualname__': name})
    setattr(sys.modules[module], name, function)
    return function


def pickled(obj, protocol):
    out = io.BytesIO()
    Pickler(out, protocol).dump(obj)
    return out.getvalue()


def tensor(kind, key, count, offset, size, stride):
    storage = Storage(('storage', stranger('torch', kind + 'Storage'), key, 'cpu', count))
    return Call(stranger('torch._utils', '_rebuild_tensor_v2'), storage, offset, size, stride, False,
                collections.OrderedDict())


def checkpoint():
    state = collections.OrderedDict()
    state['w'] = Call(stranger('torch._utils', '_rebuild_parameter'),
                      tensor('Float', '0', 24, 0, (2, 3), (3, 1)), True, collections.OrderedDict())
    state['t'] = tensor('Float', '0', 24, 1, (3, 2, 2), (1, 3, 0))
    state['h'] = tensor('Half', '1', 3, 0, (3,), (1,))
    state['b'] = tensor('BFloat16', '0', 48, 40, (1, 1, 1, 2), (9, 9, 9, 2))
    state['n'] = tensor('Long', '0', 12, 11, (), ())
    state['e'] = tensor('Bool', '2', 0, 0, (0, 5), (5, 1))
    state._metadata = {'': {'version': 1}}  # pylint: disable=protected-access
    return {'model': state, 'epoch': 3, 'lr': 0.01, 'best': None, 'cuda': True, 'name': 'gr\u00fcn',
            'steps': [20, -30, 2**40, 2**70], 'betas': (0.9, 0.999), 'raw': b'ab', 'few': {1, 2},
            'args': Call(stranger('argparse', 'Namespace')), 7: {'x/y': 1}}


def stored(data, archive='a', **more):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w') as file:
        for name, content in [('data.pkl', data), ('byteorder', b'little'), ('data/0', bytes(range(96))),
                              ('data/1', b'\0\x3c\1\0\xff\x7f'), ('data/2', b''), ('version', b'3\n')]:
            info = zipfile.ZipInfo(f'{archive}/{name}', (2020, 1, 1, 0, 0, 0))
            file.writestr(info, content, **more)
    return out.getvalue()


def torch():
    loop = {}
    loop['self'] = [loop, (loop, loop)]
    shared = {'x': 1}
    for _ in range(20):
        shared = [shared, shared]
    things = {'checkpoint': checkpoint(), 'loop': loop, 'shared': {'a': shared},
              'evil': {'a': Call(stranger('evil', 'run'), 'true'), 'b': 1},
              'huge': {'a': tensor('Float', '0', 24, 0, (2**30, 2**30), (0, 0)),
                       'b': tensor('Byte', '0', 96, 0, (2**20, 2**10), (0, 0))},
              'beyond': [tensor('Double', '0', 12, 2**62, (2, 2), (2**62, 2**62))],
              'type': [tensor('Char', '0', 12, 0, (2,), (1,))],
              'dims': [tensor('Float', '0', 12, 0, (1,) * 5, (1,) * 5)],
              'negative': [tensor('Float', '0', 12, -1, (-2,), (-1,))],
              'missing': [tensor('Float', '9', 12, 0, (2,), (1,))]}
    for name, obj in things.items():
        for protocol in (2, 4, 5):
            yield f'{name}-{protocol}', pickled(obj, protocol)
    yield 'file', stored(pickled(checkpoint(), 2))
    yield 'file-4', stored(pickled(checkpoint(), 4), 'model_0')
    yield 'file-packed', stored(pickled(checkpoint(), 2), compress_type=zipfile.ZIP_DEFLATED)
    yield 'file-empty', stored(b'')
    yield 'before-1.6', b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.'
    yield 'text', b'\x80\x02I1\n.'


def import_():
    """which, how, names; then as model without its first byte"""
    for which in (0, 1, 2, 3, 4, 6):
        yield f'good-{which}', bytes([which, 0, 0])
        yield f'scaled-{which}', bytes([which, 128, which * 8, 40, 20])
        for what in range(1, 8):
            yield f'do-{which}-{what}', bytes([which, which * 2, 0]) + b''.join(
                bytes([what, place * 3, place * 31 % 256, 1, NAN if place % 2 else 40])
                for place in range(3))
        for number in range(0, 24, 3):
            yield f'meta-{which}-{number}', bytes([which, 0, 0, 0, 0, number, number])
        for place in range(0, 12, 2):
            yield f'shape-{which}-{place}', bytes([which, 0, 0, 5, place * 3, 4 + place % 4, 5 + place, 1])
    for names in range(49):
        yield f'names-{names}', bytes([names % 5, names * 16 % 256, names])
    yield 'empty', bytes([5, 0, 0])
    yield 'json', bytes([5, 0, 0]) + struct.pack('<Q', 2) + b'{}'
    yield 'zip', bytes([5, 0, 0]) + b'PK\x03\x04' + bytes(40)


def main():
    folder = pathlib.Path(sys.argv[1])
    for target in (topology, gauges, snapshot, model, state, torch, import_):
        seeds = folder / target.__name__.rstrip('_')
        seeds.mkdir(parents=True, exist_ok=True)
        for name, data in target():
            (seeds / name).write_bytes(data)


if __name__ == '__main__':
    main()
