# SPDX-License-Identifier: Apache-2.0
"""ONNX files without anything that is made for them: a walker through the message of Protocol Buffers
and, in NumPy, the operators that `stgraph export` uses. Strict: a field, an operator or an attribute that
is not known here is an error, and so is a value that is read before it is made, or made twice.
"""
import struct

import numpy as np


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        assert shift < 70, "a number without end"


def fields(data: bytes):
    """(number, value) of each field: int, bytes, or float for those of four bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 2:
            size, at = varint(data, at)
            assert at + size <= len(data), "a field goes beyond its message"
            value, at = data[at:at + size], at + size
        else:
            assert kind == 5, f"wire type {kind}"
            value, at = struct.unpack_from("<f", data, at)[0], at + 4
        yield key >> 3, value


def message(data: bytes, names: dict[int, str], repeated: tuple[str, ...] = ()) -> dict:
    found = {name: [] for name in repeated}
    for number, value in fields(data):
        name = names[number]
        if name in repeated:
            found[name].append(value)
        else:
            assert name not in found, f"{name} twice"
            found[name] = value
    return found


TENSOR = {1: "dims", 2: "type", 8: "name", 9: "raw"}
NODE = {1: "inputs", 2: "outputs", 4: "op", 5: "attributes"}
ATTRIBUTE = {1: "name", 2: "f", 3: "i", 20: "type"}
GRAPH = {1: "nodes", 2: "name", 5: "initializers", 11: "inputs", 12: "outputs"}
MODEL = {1: "ir", 2: "producer", 7: "graph", 8: "opsets", 14: "metadata"}


def tensor(data: bytes) -> tuple[str, np.ndarray]:
    t = message(data, TENSOR, ("dims",))
    dtype = {1: "<f4", 7: "<i8"}[t["type"]]
    return t["name"].decode(), np.frombuffer(t["raw"], dtype).reshape(t["dims"])


def port(data: bytes) -> tuple[str, tuple[int, ...]]:
    value = message(data, {1: "name", 2: "type"})
    kind = message(message(value["type"], {1: "tensor"})["tensor"], {1: "elem", 2: "shape"})
    assert kind["elem"] == 1, "not of floats"
    shape = message(kind["shape"], {1: "dims"}, ("dims",))["dims"]
    return value["name"].decode(), tuple(message(d, {1: "size"})["size"] for d in shape)


def attribute(data: bytes) -> tuple[str, float]:
    a = message(data, ATTRIBUTE)
    assert a["type"] == (1 if "f" in a else 2), a
    value = a["f"] if "f" in a else a["i"]
    return a["name"].decode(), value - 2**64 if isinstance(value, int) and value >= 2**63 else value


def gemm(a, b, c, alpha=1.0, beta=1.0):
    return alpha * (a @ b) + beta * c


def split(x, sizes, axis):
    assert sizes.sum() == x.shape[axis]
    return np.split(x, np.cumsum(sizes)[:-1], axis=axis)


OPERATORS = {
    "Gemm": gemm,
    "MatMul": lambda a, b: a @ b,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Tanh": np.tanh,
    "Relu": lambda x: np.maximum(x, 0),
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Concat": lambda *x, axis: np.concatenate(x, axis=axis),
    "Split": split,
    "Gather": lambda x, i, axis: np.take(x, i, axis=axis),
    "Reshape": lambda x, shape: x.reshape(shape),
}


class File:
    """A model; run() works it out in double."""

    def __init__(self, data: bytes):
        model = message(data, MODEL, ("opsets", "metadata"))
        assert model["ir"] == 10 and model["producer"] == b"stgraph"
        assert [message(o, {1: "domain", 2: "version"}) for o in model["opsets"]] == \
            [{"domain": b"", "version": 21}]
        pairs = [message(m, {1: "key", 2: "value"}) for m in model["metadata"]]
        self.metadata = {p["key"].decode(): p["value"].decode() for p in pairs}
        graph = message(model["graph"], GRAPH, ("nodes", "initializers", "inputs", "outputs"))
        self.constants = dict(map(tensor, graph["initializers"]))
        assert len(self.constants) == len(graph["initializers"])
        self.inputs, self.outputs = dict(map(port, graph["inputs"])), dict(map(port, graph["outputs"]))
        self.nodes = [message(n, NODE, ("inputs", "outputs", "attributes")) for n in graph["nodes"]]

    def run(self, **given: np.ndarray) -> dict[str, np.ndarray]:
        assert {k: v.shape for k, v in given.items()} == self.inputs, "other inputs"
        values = {**self.constants, **given}
        values = {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in values.items()}
        read = set()
        for node in self.nodes:
            inputs, outputs = ([n.decode() for n in node[k]] for k in ("inputs", "outputs"))
            result = OPERATORS[node["op"].decode()](*(values[i] for i in inputs),
                                                    **dict(map(attribute, node["attributes"])))
            read.update(inputs)
            for name, value in zip(outputs, result if len(outputs) > 1 else [result], strict=True):
                assert name not in values, f"{name} is made twice"
                values[name] = value
        assert set(self.constants) <= read, f"nobody reads {set(self.constants) - read}"
        made = {name: values[name] for name in self.outputs}
        assert {k: v.shape for k, v in made.items()} == self.outputs, "outputs are not as said"
        return made
