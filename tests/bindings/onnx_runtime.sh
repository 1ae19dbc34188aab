#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `stgraph export` writes in the programs it is written for: ONNX's checker, ONNX Runtime and
# safetensors, from PyPI in a virtual environment of their own.
set -eu
cd "$(dirname "$0")/../.."
[ -x build/venv-onnx/bin/python ] || /usr/bin/python3 -m venv build/venv-onnx
build/venv-onnx/bin/pip install --quiet numpy onnx onnxruntime safetensors
build/venv-onnx/bin/python tests/bindings/export_test.py --peers bindings/python \
    build/lib/libstgraph.so.0 build/examples/cli/stgraph "${STG_SHARED:-../shared}"
