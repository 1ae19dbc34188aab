#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Numbers that the net is tested against: oracle.py FILE writes them as safetensors.

The DCRNN (Li et al. 2017, arXiv:1707.01926) a second time, from its definition and in its own way:
dense matrices in double, the published layout of the weights (row f M + m of feature f and matrix m),
derivatives through complex steps: f(x + ih) = f(x) + ih f'(x) + O(h h), and with h = 1e-30 nothing of
the first two terms is lost and of the rest nothing is left. So every formula here is analytic and
takes complex numbers.
"""
import json
import struct
import sys

import numpy as np

STEP = 1e-30


# --- supports ---------------------------------------------------------------------------------------

def walk(a, reverse):
    """(D^-1 A)^T, D the sums of A's rows; in the PyTorch port's order the numbers of a row are those
    of its neighbours read backwards."""
    n = len(a)
    s = np.zeros((n, n))
    for i in range(n):
        to = [j for j in range(n) if a[i, j] > 0]
        for k, j in enumerate(to):
            s[j, i] = a[i, to[len(to) - 1 - k] if reverse else j] / sum(a[i])
    return s


def laplacian(a, lambda_max):
    """2 / lambda L - I of the graph without directions; lambda its largest eigenvalue, or given."""
    n = len(a)
    b = np.maximum(a, a.T)
    degree = b.sum(axis=1)
    root = np.array([d ** -0.5 if d > 0 else 0.0 for d in degree])
    lap = np.eye(n) - np.diag(root) @ b @ np.diag(root)
    return 2 / (lambda_max or np.linalg.eigvalsh(lap).max()) * lap - np.eye(n)


def supports(name, a):
    kind, _, order = name.partition(':')
    if kind == 'laplacian':
        return [laplacian(a, None)]
    if kind == 'laplacian_2':
        return [laplacian(a, 2)]
    both = [walk(a, order == 'port'), walk(a.T, order == 'port')]
    return both if kind == 'dual_random_walk' else both[:1]


# --- the net; all arrays of numbers have one axis in front, for many parameter vectors at once -------

def diffuse(x, mats, hops, recursion):
    """All matrices times x: [.., nodes, features] to [.., nodes, features, M]."""
    out = [x]
    x0 = x
    for s in mats if hops else []:
        if recursion != 'carry':
            x0 = x
        x1 = s @ x0
        out.append(x1)
        for _ in range(2, hops + 1):
            if recursion == 'power':
                x2 = s @ x1
            elif recursion == 'pygt':
                x2 = 2 * (s @ x1) - x
            else:
                x2 = 2 * (s @ x1) - x0
                x0 = x1
            out.append(x2)
            x1 = x2
    return np.stack(out, axis=-1)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


class Net:
    def __init__(self, case, mats):
        self.case = case
        self.mats = mats
        self.m = len(mats) * case['hops'] + 1

    def shapes(self):
        c = self.case
        direct = c['decoder'] != 'seq2seq'
        outputs = c['targets'] * (c['horizon'] if direct else 1)
        shapes = {}
        for part in ('encoder',) if direct else ('encoder', 'decoder'):
            for layer in range(c['layers']):
                inputs = c['units'] if layer else (
                    c['inputs'] if part == 'encoder' else c['targets'] + c['extras'])
                rows = self.m * (inputs + c['units'])
                gates = 3 if c['cell'] == 'dclstm' else 2
                for cols in (gates * c['units'], c['units']):
                    name = f'{part}_model.dcgru_layers.{layer}.gconv_'
                    shapes[f'{name}weight_({rows}, {cols})'] = (rows, cols)
                    shapes[f'{name}biases_{cols}'] = (cols,)
        shapes['decoder_model.projection_layer.weight'] = (outputs, c['units'])
        shapes['decoder_model.projection_layer.bias'] = (outputs,)
        return shapes

    def gconv(self, w, prefix, x, cols):
        z = diffuse(x, self.mats, self.case['hops'], self.case['recursion'])
        rows = z.shape[-2] * z.shape[-1]
        z = z.reshape(z.shape[:-2] + (rows,))
        return z @ w[f'{prefix}weight_({rows}, {cols})'] + w[f'{prefix}biases_{cols}'][:, None, :]

    def lstm(self, w, part, layer, x, state):
        """Seo et al. 2018, equation 6 without peepholes; a state is h and s side by side."""
        units = self.case['units']
        prefix = f'{part}_model.dcgru_layers.{layer}.gconv_'
        h, s = state[..., :units], state[..., units:]
        x = np.broadcast_to(x, h.shape[:-1] + x.shape[-1:])
        both = np.concatenate([x, h], axis=-1)
        gates = sigmoid(self.gconv(w, prefix, both, 3 * units))
        i, f, o = gates[..., :units], gates[..., units:2 * units], gates[..., 2 * units:]
        s = f * s + i * np.tanh(self.gconv(w, prefix, both, units))
        return np.concatenate([o * np.tanh(s), s], axis=-1)

    def cell(self, w, part, layer, x, h):
        units = self.case['units']
        prefix = f'{part}_model.dcgru_layers.{layer}.gconv_'
        x = np.broadcast_to(x, h.shape[:-1] + x.shape[-1:])
        gates = sigmoid(self.gconv(w, prefix, np.concatenate([x, h], axis=-1), 2 * units))
        r, u = gates[..., :units], gates[..., units:]
        c = np.tanh(self.gconv(w, prefix, np.concatenate([x, r * h], axis=-1), units))
        return u * h + (1 - u) * c

    def step(self, w, part, x, states):
        lstm = self.case['cell'] == 'dclstm'
        for layer in range(self.case['layers']):
            states[layer] = (self.lstm if lstm else self.cell)(w, part, layer, x, states[layer])
            x = states[layer][..., :self.case['units']]
        return x

    def forward(self, w, data):
        """Outputs [.., horizon, nodes, targets] of parameters with an axis in front."""
        c = self.case
        many = len(w['decoder_model.projection_layer.bias'])
        nodes = data['x'].shape[1]
        wide = c['units'] * (2 if c['cell'] == 'dclstm' else 1)
        states = [np.zeros((many, nodes, wide))] * c['layers']
        for x in data['x']:
            top = self.step(w, 'encoder', x[None], states)
        if c['decoder'] != 'seq2seq':
            return self.direct(w, top, data['base'])
        outputs = []
        read = np.zeros((many, nodes, c['targets']))
        for d in range(c['horizon']):
            known = np.broadcast_to(data['extras'][d], (many, nodes, c['extras']))
            top = self.step(w, 'decoder', np.concatenate([read, known], axis=-1), states)
            y = top @ np.swapaxes(w['decoder_model.projection_layer.weight'], 1, 2)
            y = y + w['decoder_model.projection_layer.bias'][:, None, :] + data['base'][d]
            outputs.append(y)
            label = data['labels'][d]
            read = np.where(data['feed'][d] & ~np.isnan(label), label, y)
        return np.stack(outputs, axis=1)

    def direct(self, w, top, base):
        """One linear map of the last state to all steps, the outputs of a step side by side."""
        c = self.case
        if c['decoder'] == 'direct_relu':
            top = np.where(top.real > 0, top, 0)
        y = top @ np.swapaxes(w['decoder_model.projection_layer.weight'], 1, 2)
        y = y + w['decoder_model.projection_layer.bias'][:, None, :]
        y = y.reshape(y.shape[:2] + (c['horizon'], c['targets']))
        return np.moveaxis(y, 2, 1) + base

    def loss(self, out, labels):
        """Mean over the known labels: half the square of the error, or the error without its sign,
        which is that of the real part and stays what it is over a step."""
        known = ~np.isnan(labels)
        error = np.where(known, out - np.where(known, labels, 0), 0)
        if self.case['loss'] == 'squared':
            error = error * error / 2
        else:
            assert np.abs(error.real[..., known]).min() > 1e-4, 'an error too near to the kink'
            error = error * np.sign(error.real)
        return error.sum(axis=(1, 2, 3)) / known.sum()

    def split(self, flat):
        w, at = {}, 0
        for name, shape in self.shapes().items():
            size = int(np.prod(shape))
            w[name] = flat[:, at:at + size].reshape((len(flat),) + shape)
            at += size
        return w

    def gradient(self, flat, data):
        many = flat[None] + 1j * STEP * np.eye(len(flat))
        parts = [self.loss(self.forward(self.split(m), data), data['labels']).imag / STEP
                 for m in np.array_split(many, 1 + len(flat) // 256)]
        return np.concatenate(parts)


# --- cases ----------------------------------------------------------------------------------------

def graphs():
    """Weights by caller and callee, all of them numbers that float holds."""
    rng = np.random.RandomState(5)  # the one generator of NumPy whose numbers never change
    mixed = np.zeros((6, 6))  # 3 is only called, 4 only calls, 5 is alone
    for i, j in [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 2), (1, 3), (2, 1), (2, 2), (4, 0),
                 (4, 2), (4, 3)]:
        mixed[i, j] = rng.uniform(0.1, 2)
    dense = rng.uniform(0.1, 2, (5, 5))
    parts = np.zeros((7, 7))  # a ring, a pair and a node that calls itself only
    for i, j in [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (4, 5), (5, 4), (6, 6)]:
        parts[i, j] = rng.uniform(0.1, 2)
    return {'mixed': single(mixed), 'dense': single(dense), 'parts': single(parts),
            'without edges': np.zeros((3, 3)), 'one node': np.array([[0.5]])}


def single(x):
    """Numbers that float holds: both builds of the net read the same."""
    return np.asarray(x).astype(np.float32).astype(np.float64)


def forms():
    """Filter, recursion and hops of every case."""
    recursions = ('restart', 'carry', 'pygt', 'power')
    for hops in range(5):
        for recursion in recursions:
            yield 'dual_random_walk', recursion, hops
    for recursion in recursions:
        yield 'dual_random_walk:port', recursion, 2
        yield 'random_walk', recursion, 3
        yield 'laplacian', recursion, 2
        yield 'laplacian_2', recursion, 3
    yield 'random_walk:port', 'restart', 1
    yield 'random_walk:port', 'carry', 2
    yield 'laplacian', 'restart', 1
    yield 'laplacian_2', 'carry', 0
    yield 'dual_random_walk', 'carry', 8


def cases():
    """Sizes, loss, feeding and base turn at different periods, so that they mix."""
    whole = ['mixed', 'dense', 'mixed', 'parts', 'mixed']
    for i, (name, recursion, hops) in enumerate(forms()):
        yield {'filter': name, 'recursion': recursion, 'hops': hops, 'graph': whole[i % 5],
               'layers': 1 + (i + i // 4) % 2, 'units': 3 + i % 3 // 2, 'inputs': 1 + i % 8 // 3,
               'targets': 1 + i % 7 // 4, 'extras': i % 11 % 3, 'history': 4, 'horizon': 3,
               'loss': 'absolute' if i % 17 % 3 == 1 else 'squared', 'feeding': i % 13 % 3 != 0,
               'based': i % 19 % 2 == 1, 'decoder': 'seq2seq', 'cell': 'dcgru'}
    # What does not turn: graphs of nothing, three layers, nothing but a step.
    small = {'filter': 'dual_random_walk', 'recursion': 'carry', 'hops': 2, 'layers': 1, 'units': 3,
             'inputs': 2, 'targets': 1, 'extras': 1, 'history': 3, 'horizon': 2, 'loss': 'squared',
             'feeding': True, 'based': False, 'decoder': 'seq2seq',
             'cell': 'dcgru'}
    yield {**small, 'graph': 'without edges'}
    yield {**small, 'graph': 'without edges', 'filter': 'laplacian', 'recursion': 'restart'}
    yield {**small, 'graph': 'one node'}
    yield {**small, 'graph': 'mixed', 'layers': 3, 'targets': 2}
    yield {**small, 'graph': 'dense', 'history': 1, 'horizon': 1, 'recursion': 'pygt'}
    yield {**small, 'graph': 'parts', 'history': 1, 'horizon': 5, 'based': True}
    # Without a decoder; the last is the documented example of PyTorch Geometric Temporal.
    direct = {**small, 'extras': 0, 'feeding': False, 'decoder': 'direct'}
    yield {**direct, 'graph': 'mixed', 'layers': 2, 'targets': 2, 'horizon': 3, 'based': True}
    yield {**direct, 'graph': 'dense', 'decoder': 'direct_relu', 'horizon': 4, 'loss': 'absolute'}
    yield {**direct, 'graph': 'mixed', 'decoder': 'direct_relu', 'history': 1, 'horizon': 1, 'hops': 1,
           'inputs': 4, 'units': 8, 'recursion': 'pygt'}
    # LSTM cells.
    for i, (name, recursion, hops) in enumerate(list(forms())[::5]):
        yield {**small, 'cell': 'dclstm', 'graph': 'mixed', 'filter': name, 'recursion': recursion,
               'hops': hops, 'layers': 1 + i % 2, 'targets': 1 + i % 3 // 2, 'based': i % 2 == 1}
    yield {**direct, 'cell': 'dclstm', 'graph': 'parts', 'decoder': 'direct_relu', 'layers': 2}


def numbers(case, nodes, rng):
    c = case
    outputs = (c['horizon'], nodes, c['targets'])
    data = {'x': rng.normal(size=(c['history'], nodes, c['inputs'])),
            'extras': rng.normal(size=(c['horizon'], c['extras'])),
            'labels': rng.normal(size=outputs),
            'base': rng.normal(size=outputs) if c['based'] else np.zeros(outputs)}
    data = {name: single(value) for name, value in data.items()}
    unknown = rng.uniform(size=outputs) < 0.2
    unknown.flat[0] = unknown.size > 1  # a label that is fed but not known
    data['labels'][unknown] = np.nan
    data['feed'] = np.array([c['feeding'] and d % 2 == 0 for d in range(c['horizon'])])
    return data


def solve(case, index):
    """All tensors of a case, by their names in the file."""
    rng = np.random.RandomState(1000 + index)
    adj = graphs()[case['graph']]
    mats = supports(case['filter'], adj)
    net = Net(case, mats)
    data = numbers(case, len(adj), rng)
    count = sum(int(np.prod(shape)) for shape in net.shapes().values())
    flat = single(0.7 * net.m ** -0.5 * rng.normal(size=count))
    out = net.forward(net.split(flat[None]), data)
    tensors = {'adj': adj, 'x': data['x'], 'labels': data['labels'], 'out': out[0],
               'loss': net.loss(out, data['labels']),
               'diffused': diffuse(data['x'], mats, case['hops'], case['recursion'])}
    for i, s in enumerate(mats):
        tensors[f'support{i}'] = s
    if case['extras']:
        tensors['extras'] = data['extras']
    if case['based']:
        tensors['base'] = data['base']
    if case['feeding']:
        tensors['feed'] = data['feed'].astype(np.uint8)
    gradient = net.gradient(flat, data)
    for what, values in (('param', flat), ('grad', gradient)):
        for name, value in net.split(values[None]).items():
            tensors[f'{what}/{name}'] = value[0]
    return {name: np.ascontiguousarray(value) for name, value in tensors.items()}


def optimise(coupled):
    """Steps of Adam (Kingma & Ba 2015, algorithm 1) whose decay is added to the gradient or, as in
    Loshchilov & Hutter 2019, algorithm 2, taken from the weights by itself."""
    rng = np.random.RandomState(77)
    weights = single(rng.normal(size=40))
    gradients = single(rng.normal(size=(6, 40)) * 10.0 ** rng.uniform(-6, 2, 40))
    rate, decay, beta1, beta2, epsilon = 0.02, 0.3, 0.8, 0.95, 1e-3
    w, m, v = weights.copy(), np.zeros(40), np.zeros(40)
    for t, g in enumerate(gradients, 1):
        if coupled:
            g = g + decay * w
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        step = rate * (m / (1 - beta1 ** t)) / (np.sqrt(v / (1 - beta2 ** t)) + epsilon)
        w = w - step - (0 if coupled else rate * decay * w)
    return {'start': weights, 'gradients': gradients, 'end': w,
            'numbers': np.array([rate, decay, beta1, beta2, epsilon])}


def losses():
    """Sums over the known labels; slopes by the complex step where there is no kink."""
    rng = np.random.RandomState(78)
    out = single(rng.normal(size=200) * 2)
    labels = single(rng.normal(size=200))
    labels[rng.uniform(size=200) < 0.2] = np.nan
    delta = 0.75

    def huber(e):
        size = e * np.sign(e.real)
        return np.where(np.abs(e.real) <= delta, e * e / 2, delta * (size - delta / 2))

    tensors = {'out': out, 'labels': labels, 'delta': np.array([delta])}
    for name, cost in (('mae', lambda e: e * np.sign(e.real)), ('mse', lambda e: e * e),
                       ('huber', huber)):
        each = np.where(np.isnan(labels), 0, cost(out + 1j * STEP - labels))
        tensors[name] = np.array([each.real.sum()])
        tensors[f'{name} slope'] = each.imag / STEP
    return tensors


def write(path, tensors, metadata):
    """u64 length of the header, the header as JSON padded to 8 bytes, the numbers in a row."""
    header = {'__metadata__': metadata}
    at = 0
    tensors = sorted(tensors.items(), key=lambda t: -t[1].itemsize)  # doubles first: aligned
    for name, value in tensors:
        header[name] = {'dtype': {8: 'F64', 1: 'U8'}[value.itemsize], 'shape': value.shape,
                        'data_offsets': [at, at + value.nbytes]}
        at += value.nbytes
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text)
        for _, value in tensors:
            file.write(value.astype(value.dtype.newbyteorder('<')).tobytes())


def main():
    tensors, metadata = {}, {}
    count = 0
    for index, case in enumerate(cases()):
        solved = solve(case, index)
        tensors.update((f'{index}/{name}', value) for name, value in solved.items())
        case = {**case, 'nodes': len(solved['adj'])}
        metadata.update((f'{index}/{name}', str(value)) for name, value in case.items())
        count += 1
    for name, solved in (('adam', optimise(True)), ('adamw', optimise(False)), ('loss', losses())):
        tensors.update((f'{name}/{part}', value) for part, value in solved.items())
    write(sys.argv[1], tensors, {**metadata, 'cases': str(count)})


if __name__ == '__main__':
    main()
