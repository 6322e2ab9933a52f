"""Runs ops by tinygrad on WebGPU as bench/peers/tinygrad/library.ts asks: one JSON object a line, arrays in files.

Every command but "run" is answered by a line; an error of a "run" is told at the next one. Shapes are rows of
bench/sd15-shapes.json, arrays are float32 in this library's layouts: pictures NHWC, weights [kh, kw, cin, cout].
"""

import json
import os
import platform
import sys

DEVICE = "WEBGPU"
os.environ["DEV"] = DEVICE
if "WEBGPU_PATH" not in os.environ:
    import pydawn

    libraries = os.path.join(os.path.dirname(pydawn.__file__), "lib")
    ending = "arm64.dylib" if (sys.platform, platform.machine()) == ("darwin", "arm64") else None
    ending = ending or f"{platform.machine()}.{'dylib' if sys.platform == 'darwin' else 'so'}"
    os.environ["WEBGPU_PATH"] = os.path.join(libraries, f"libwebgpu_dawn_{ending}")

import numpy as np
from tinygrad import Device, Tensor, TinyJit
from tinygrad.helpers import getenv
from tinygrad.runtime import ops_webgpu
from tinygrad.runtime.autogen import webgpu

# tinygrad may print; answers have the pipe for themselves.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def adapter_info():
    """Of the adapter that tinygrad takes, asked for in the same way."""
    options = webgpu.WGPURequestAdapterOptions(powerPreference=webgpu.WGPUPowerPreference_HighPerformance)
    adapter = ops_webgpu.InstanceRequestAdapter(ops_webgpu.instance, options)
    webgpu.wgpuAdapterGetInfo(adapter, info := webgpu.WGPUAdapterInfo())
    names = ("vendor", "architecture", "device", "description")
    return {name: ops_webgpu.from_wgpu_str(getattr(info, name)) for name in names}


def formula(shape, arrays):
    """(inputs in tinygrad's layout, what computes the result from them, its way back to our layout)"""
    op = shape["op"]
    if op == "matmul":
        x, w, *bias = arrays
        return [x.reshape(-1, shape["K"]), w.reshape(shape["K"], -1), *bias], lambda x, w, *b: x.linear(w, *b), None
    if op == "conv2d":
        x, bias, w = arrays
        n, h, width, cin, cout, k = (shape[name] for name in ("N", "H", "W", "Cin", "Cout", "k"))
        x = x.reshape(n, h, width, cin).transpose(0, 3, 1, 2)
        w = w.reshape(k, k, cin, cout).transpose(3, 2, 0, 1)
        compute = lambda x, w, b: x.conv2d(w, b, padding=shape["pad"])
        return [x, w, bias], compute, lambda y: y.transpose(0, 2, 3, 1)
    if op == "attention":
        heads = (shape["B"], -1, shape["heads"], shape["D"])
        compute = lambda q, k, v: q.scaled_dot_product_attention(k, v, is_causal=shape["causal"])
        return [a.reshape(heads).transpose(0, 2, 1, 3) for a in arrays], compute, lambda y: y.transpose(0, 2, 1, 3)
    x, weight, bias = arrays
    if op == "layernorm":
        compute = lambda x, w, b: x.layernorm(eps=shape["eps"]) * w + b
        return [x.reshape(-1, shape["C"]), weight, bias], compute, None
    if op == "groupnorm":
        n, c, hw, groups = (shape[name] for name in ("N", "C", "HW", "groups"))

        def compute(x, w, b):
            y = x.reshape(n, groups, -1).layernorm(eps=shape["eps"]).reshape(n, c, hw) * w + b
            return y.silu() if shape["silu"] else y

        inputs = [x.reshape(n, hw, c).transpose(0, 2, 1), weight.reshape(c, 1), bias.reshape(c, 1)]
        return inputs, compute, lambda y: y.transpose(0, 2, 1)
    raise ValueError(f"tinygrad: {op} is not compared")


class Worker:
    def prepare(self, shape, files):
        inputs, compute, self.back = formula(shape, [np.fromfile(file, np.float32) for file in files])
        self.inputs = [Tensor(np.ascontiguousarray(array)).realize() for array in inputs]
        self.jit = TinyJit(lambda *inputs: compute(*inputs).realize())

    def run(self):
        self.jit(*self.inputs)

    def result(self, file):
        # The first call compiles, the second is captured, the third replays: what is checked is what is timed.
        for _ in range(2):
            self.run()
        y = self.jit(*self.inputs).numpy()
        np.ascontiguousarray(self.back(y) if self.back else y).astype(np.float32).tofile(file)

    def synchronize(self):
        Device[DEVICE].synchronize()

    def release(self):
        self.inputs = self.jit = None


def main():
    worker, error = Worker(), None
    from importlib.metadata import version

    hello = {"version": version("tinygrad"), "beam": getenv("BEAM"), "adapter": adapter_info()}
    print(json.dumps(hello), file=answers, flush=True)
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        try:
            getattr(worker, command)(*arguments)
        except Exception as problem:
            error = error or f"{type(problem).__name__}: {problem}"
        if command != "run":
            print(json.dumps({"error": error}), file=answers, flush=True)
            error = None


main()
