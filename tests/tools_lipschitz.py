#!/usr/bin/python3
"""tools_lipschitz.py: underhood lipschitz against numpy.

Each linear layer is applied here, by its definition and in float64, to every
unit vector; numpy's singular values of that matrix must lie between the bounds.
"""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, "tests")
sys.dont_write_bytecode = True
import tensors

try:
    import numpy as np
except ImportError:
    print("skipped: tests/tools_lipschitz.py needs python3-numpy")
    sys.exit(0)

TOOL = os.path.abspath("build/underhood")
FOLDER = tempfile.TemporaryDirectory()


def path(name):
    return os.path.join(FOLDER.name, name)


def run(*words):
    return subprocess.run([TOOL, "lipschitz", *words], capture_output=True, text=True, cwd=FOLDER.name)


def save(name, arch, arrays, cut=0):
    arrays = {key: np.ascontiguousarray(t, dtype="<f4") for key, t in arrays.items()}
    tensors.write(path(name), {key: ("F32", t.shape, t.tobytes()) for key, t in arrays.items()}, {"arch": arch})
    os.truncate(path(name), os.path.getsize(path(name)) - cut)
    return name


def conv(w, x, stride=1, pad=0, groups=1, dilation=1):
    """x: (in, height, width)"""
    outs, ins, rows, cols = w.shape
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    high = (x.shape[1] - dilation * (rows - 1) - 1) // stride + 1
    wide = (x.shape[2] - dilation * (cols - 1) - 1) // stride + 1
    y = np.zeros((outs, high, wide))
    for o in range(outs):
        first = o // (outs // groups) * ins
        for i in range(high):
            for j in range(wide):
                a, b = i * stride, j * stride
                seen = x[first : first + ins, a : a + dilation * rows : dilation, b : b + dilation * cols : dilation]
                y[o, i, j] = np.sum(seen[:, :rows, :cols] * w[o])
    return y


def matrix_norm(function, shape):
    units = np.eye(int(np.prod(shape))).reshape((-1,) + shape)
    return np.linalg.svd(np.stack([function(u).ravel() for u in units]), compute_uv=False)[0]


def check(condition, what):
    if not condition:
        print("tools_lipschitz: expected " + what)
        sys.exit(1)


def enclosed(layer, norm, what):
    check(layer["lower"] <= norm * (1 + 1e-12), "%s: lower at most %r, found %r" % (what, norm, layer["lower"]))
    check(norm <= layer["upper"] * (1 + 1e-12), "%s: upper at least %r, found %r" % (what, norm, layer["upper"]))
    check(norm <= layer["upper_proved"] * (1 + 1e-12), "%s: proved at least %r, found %r" % (what, norm, layer["upper_proved"]))
    check(layer["upper"] <= layer["lower"] * (1 + 1e-6), "%s: bounds within 1e-6, found %r" % (what, layer))


random = np.random.default_rng(7)


def normal(*shape):
    return random.normal(size=shape).astype("<f4").astype(float)


# One network with a layer of every sort.
w0, w5, w9, w13 = normal(6, 2, 3, 3), normal(6, 3, 3, 3), normal(6, 6, 1, 1), normal(5, 24)
scale, mean, var = np.abs(normal(6)) + 0.5, normal(6), np.abs(normal(6)) + 0.5
ARCH = (
    "input 2 9 9; conv 6 3 3 stride=2 pad=1; batchnorm; relu; maxpool 3 stride=1; mark a; conv 6 3 3 pad=2 groups=2 "
    "dilation=2; leakyrelu -1.5; mark b; from a; conv 6 1 1; add b; meanpool 2 stride=1; flatten; dense 5; sigmoid"
)
save(
    "net.safetensors",
    ARCH,
    {
        "0.weight": w0, "1.weight": scale, "1.bias": mean, "1.running_mean": mean, "1.running_var": var,
        "5.weight": w5, "9.weight": w9, "13.weight": w13,
    },
)
found = run("net.safetensors", "--json")
check(found.returncode == 0 and not found.stderr, "status 0, found %s" % found.stderr)
seen = json.loads(found.stdout)
layers = seen["layers"]
check([l["index"] for l in layers] == list(range(15)), "fifteen layers")
check([l["type"] for l in layers[:4]] == ["conv", "batchnorm", "relu", "maxpool"], "their types")
factor = (scale.astype("<f4") / np.sqrt(var.astype("<f4").astype(float) + float(np.float32(1e-5)))).astype("<f4")
norms = {
    0: matrix_norm(lambda x: factor[:, None, None].astype(float) * conv(w0, x, stride=2, pad=1), (2, 9, 9)),
    5: matrix_norm(lambda x: conv(w5, x, pad=2, groups=2, dilation=2), (6, 3, 3)),
    9: matrix_norm(lambda x: conv(w9, x), (6, 3, 3)),
    11: matrix_norm(lambda x: conv(np.full((1, 1, 2, 2), 0.25), x), (1, 3, 3)),
    13: np.linalg.svd(w13, compute_uv=False)[0],
}
for i, norm in norms.items():
    enclosed(layers[i], norm, "layer %d" % i)
for i, norm in {1: 1, 2: 1, 3: 3, 6: 1.5, 12: 1, 14: 0.25}.items():
    check(layers[i]["lower"] == layers[i]["upper"] == layers[i]["upper_proved"] == norm, "layer %d: %r, found %r" % (i, norm, layers[i]))
block = 1.5 * norms[5] + norms[9]
check(abs(layers[10]["upper"] / block - 1) < 1e-5, "the block: %r, found %r" % (block, layers[10]))
product = norms[0] * 3 * block * norms[11] * norms[13] / 4
check(abs(seen["product_upper"] / product - 1) < 1e-5, "the product: %r, found %r" % (product, seen["product_upper"]))
check(0 < seen["network_lower"] <= seen["product_upper"] <= seen["network_upper"], "lower, product, upper in order")

# Single layers as they come: all alike, mostly 0, of very different size, orthogonal.
def weights(shape, style):
    w = random.normal(size=shape)
    if style == "alike":
        w[:] = random.choice([1, -0.5])
    elif style == "sparse":
        w *= random.random(shape) < 0.15
    elif style == "apart":
        w *= 10.0 ** random.integers(-8, 9, size=shape)
    elif style == "orthogonal":
        rows, cols = shape[0], int(np.prod(shape[1:]))
        w = np.linalg.qr(random.normal(size=(max(rows, cols), max(rows, cols))))[0][:rows, :cols].reshape(shape)
    return w.astype("<f4").astype(float)


for trial in range(60):
    style = ["normal", "alike", "sparse", "apart", "orthogonal"][trial % 5]
    draw = lambda low, high: int(random.integers(low, high + 1))
    if trial % 3 == 0:
        n, m = draw(1, 14), draw(1, 14)
        arch, w = "input %d; dense %d" % (n, m), weights((m, n), style)
        norm = np.linalg.svd(w, compute_uv=False)[0]
    else:
        groups, stride, pad, dilation = draw(1, 3), draw(1, 3), draw(0, 3), draw(1, 2)
        shape = (groups * draw(1, 2), draw(1, 8), draw(1, 8))
        kernel = [draw(1, min(4, (side + 2 * pad - 1) // dilation + 1)) for side in shape[1:]]
        w = weights((groups * draw(1, 3), shape[0] // groups, *kernel), style)
        arch = "input %d %d %d; conv %d %d %d stride=%d pad=%d dilation=%d groups=%d" % (*shape, w.shape[0], *kernel, stride, pad, dilation, groups)
        norm = matrix_norm(lambda x: conv(w, x, stride=stride, pad=pad, dilation=dilation, groups=groups), shape)
    one = run(save("one.safetensors", arch, {"0.weight": w}), "--json")
    check(one.returncode == 0, "status 0 of %s (%s), found %s" % (arch, style, one.stderr))
    enclosed(json.loads(one.stdout)["layers"][0], norm, "%s (%s)" % (arch, style))

# The same on any number of threads; only what is asked for.
for jobs in "1", "3":
    again = subprocess.run([TOOL, "lipschitz", "net.safetensors", "--json"], capture_output=True, text=True, cwd=FOLDER.name, env={**os.environ, "JOBS": jobs})
    check(again.stdout == found.stdout, "the same with JOBS=" + jobs)
some = json.loads(run("net.safetensors", "--json", "--bounds", "proved").stdout)
check(some["product_upper"] is None and some["layers"][0]["lower"] is None, "null for what is not asked for")
check(some["network_upper"] >= product and some["layers"][5]["upper_proved"] >= norms[5] * (1 - 1e-12), "proved alone")
text = run("net.safetensors").stdout.splitlines()
check(len(text) == 17 and text[2].endswith("in the layer before") and "whole" in text[-1], "a table, found %r" % text)

# What is wrong is one line.
for words, status, said in [
    (["net.safetensors", "--bounds", "higher"], 2, "expected some of lower, upper, proved"),
    (["net.safetensors", "--bounds", "lower,"], 2, "expected some of lower, upper, proved"),
    ([], 2, "NET.safetensors"),
    (["net.safetensors", "--what"], 2, "--what"),
    (["none.safetensors"], 1, "none.safetensors"),
    ([save("short.safetensors", "input 3; dense 2", {"0.weight": normal(2, 3)}, cut=4)], 1, "short.safetensors"),
    ([save("wrong.safetensors", "input 3; dense 2", {"0.weight": normal(2, 4)})], 1, "0.weight"),
    ([save("nan.safetensors", "input 3; dense 2", {"0.weight": normal(2, 3) * np.nan})], 1, "0.weight"),
]:
    bad = run(*words)
    check(bad.returncode == status and bad.stdout == "", "status %d of %r, found %d" % (status, words, bad.returncode))
    check(said in bad.stderr and bad.stderr.count("\n") == 1, "one line with %r, found %r" % (said, bad.stderr))
check("usage: underhood lipschitz" in run("--help").stdout, "help")
