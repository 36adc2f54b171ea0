#!/usr/bin/python3
"""tools_torchvision.py: underhood on networks with torchvision's tensor names.

SqueezeNet 1.1, ResNet-18 and AlexNet's features are written down again here, in
numpy and float64, with random weights; eval must agree, and what is wrong with
a file must be one line.
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
    print("skipped: tests/tools_torchvision.py needs python3-numpy")
    sys.exit(0)

TOOL = os.path.abspath("build/underhood")
FOLDER = tempfile.TemporaryDirectory()


def path(name):
    return os.path.join(FOLDER.name, name)


def run(*words):
    return subprocess.run([TOOL, *words], capture_output=True, text=True, cwd=FOLDER.name)


def save(name, arrays, metadata=None):
    letters = {"float16": "F16", "float32": "F32", "float64": "F64", "int64": "I64"}
    tensors.write(path(name), {key: (letters[str(t.dtype)], t.shape, t.tobytes()) for key, t in arrays.items()}, metadata)


# ---- networks in numpy ---------------------------------------------------------


def windows(x, k, stride):
    x = np.lib.stride_tricks.sliding_window_view(x, (k, k), (1, 2))
    return x[:, ::stride, ::stride]


class Net:
    """Draws a tensor when it is first asked for, and computes with it."""

    def __init__(self, seed, kind, norm=False):
        self.random, self.kind, self.norm, self.tensors = np.random.default_rng(seed), kind, norm, {}

    def draw(self, name, shape, scale, shift=0.0):
        if name not in self.tensors:
            t = shift + scale * self.random.standard_normal(shape)
            self.tensors[name] = t.astype(self.kind)
        return self.tensors[name].astype(float)

    def conv(self, x, name, out, k, stride=1, pad=0, norm=None):
        w = self.draw(name + ".weight", (out, len(x), k, k), (2 / (len(x) * k * k)) ** 0.5)
        x = windows(np.pad(x, ((0, 0), (pad, pad), (pad, pad))), k, stride)
        y = np.tensordot(w, x, ((1, 2, 3), (0, 3, 4)))
        if norm is None:
            return y + self.draw(name + ".bias", (out,), 0.1)[:, None, None]
        w, b, m = (self.draw("%s.%s" % (norm, n), (out,), 0.1, s) for n, s in (("weight", 1), ("bias", 0), ("running_mean", 0)))
        v = self.tensors.setdefault(norm + ".running_var", (0.5 + self.random.random(out)).astype(self.kind)).astype(float)
        self.tensors[norm + ".num_batches_tracked"] = np.array(7)
        return (y - m[:, None, None]) / np.sqrt(v + 1e-5)[:, None, None] * w[:, None, None] + b[:, None, None]


def relu(x):
    return np.maximum(x, 0)


def pool(x, ceil=False, pad=0):
    """3 x 3 windows, stride 2; in ceiling mode cut off at the edge."""
    more = [(n + 2 * pad - 3) % 2 if ceil else 0 for n in x.shape[1:]]
    x = np.pad(x, ((0, 0), (pad, pad + more[0]), (pad, pad + more[1])), constant_values=-np.inf)
    return windows(x, 3, 2).max((3, 4))


def squeezenet(net, x):
    x = pool(relu(net.conv(x, "features.0", 64, 3, 2)), True)
    for i, squeeze, expand in ((3, 16, 64), (4, 16, 64), (5, 0, 0), (6, 32, 128), (7, 32, 128), (8, 0, 0), (9, 48, 192), (10, 48, 192), (11, 64, 256), (12, 64, 256)):
        if not squeeze:
            x = pool(x, True)
            continue
        fire = "features.%d." % i
        s = relu(net.conv(x, fire + "squeeze", squeeze, 1))
        x = np.concatenate([relu(net.conv(s, fire + "expand1x1", expand, 1)), relu(net.conv(s, fire + "expand3x3", expand, 3, 1, 1))])
    return relu(net.conv(x, "classifier.1", 17, 1)).mean((1, 2))


def resnet18(net, x):
    x = pool(relu(net.conv(x, "conv1", 64, 7, 2, 3, "bn1")), False, 1)
    for stage in range(4):
        width = 64 << stage
        for b in range(2):
            at, stride = "layer%d.%d." % (stage + 1, b), 2 if stage and not b else 1
            y = relu(net.conv(x, at + "conv1", width, 3, stride, 1, at + "bn1"))
            y = net.conv(y, at + "conv2", width, 3, 1, 1, at + "bn2")
            if stride == 2:
                x = net.conv(x, at + "downsample.0", width, 1, 2, 0, at + "downsample.1")
            x = relu(x + y)
    x = x.mean((1, 2))
    w, b = net.draw("fc.weight", (9, 512), 512**-0.5), net.draw("fc.bias", (9,), 0.1)
    return w @ x + b


def alexnet_features(net, x):
    x = pool(relu(net.conv(x, "features.0", 64, 11, 4, 2)))
    x = pool(relu(net.conv(x, "features.3", 192, 5, 1, 2)))
    x = relu(net.conv(x, "features.6", 384, 3, 1, 1))
    x = relu(net.conv(x, "features.8", 256, 3, 1, 1))
    return pool(relu(net.conv(x, "features.10", 256, 3, 1, 1)))


def agrees(seed, network, kind, shape):
    net = Net(seed, kind)
    images = net.random.standard_normal((2,) + shape).astype("f4")
    want = np.array([network(net, x.astype(float)) for x in images])
    save("net.safetensors", net.tensors)
    np.save(path("in.npy"), images)
    got = run("eval", "net.safetensors", "in.npy", "out.npy", "--input", "%dx%dx%d" % shape)
    if got.returncode:
        print("#", got.stderr)
        return False
    off = abs(np.load(path("out.npy")) - want).max() / abs(want).max()
    print("# %s at %dx%dx%d: off by %.2g of the largest output" % ((network.__name__,) + shape + (off,)))
    return off <= 1e-4


# ---- tests ---------------------------------------------------------------------

tests = []


def test(f):
    tests.append(f)
    return f


@test
def squeezenet_1_1_agrees_with_numpy():
    return agrees(1, squeezenet, "f4", (3, 67, 94)) and agrees(2, squeezenet, "f8", (3, 40, 41))


@test
def resnet_18_agrees_with_numpy():
    return agrees(3, resnet18, "f2", (3, 65, 50))


@test
def the_features_of_alexnet_agree_with_numpy():
    return agrees(4, alexnet_features, "f4", (3, 224, 224))


def refused(got, status, *parts):
    lines = got.stderr.split("\n")
    good = got.returncode == status and got.stdout == "" and len(lines) == 2 and all(p in got.stderr for p in parts)
    if not good:
        print("#", got.returncode, got.stdout[:300], got.stderr[:500], parts)
    return good


@test
def what_is_wrong_is_one_line():
    net = Net(5, "f4")
    squeezenet(net, np.zeros((3, 40, 40)))
    t = net.tensors
    save("good.safetensors", t)
    save("arch.safetensors", {"0.weight": np.ones((1, 2), "f4")}, {"arch": "input 2; dense 1"})
    save("other.safetensors", {"weight": np.ones(3, "f4")})
    missing = {k: v for k, v in t.items() if k != "features.9.expand3x3.weight"}
    save("missing.safetensors", missing)
    save("shape.safetensors", {**t, "features.9.expand3x3.weight": np.ones((192, 48, 1, 1), "f4")})
    small = ["--input", "3x40x40"]
    return all(
        refused(run(command, name + ".safetensors", *more), status, *parts)
        for command in ("net", "knots", "lipschitz")
        for name, more, status, parts in (
            ("missing", small, 1, ["tensor features.9.expand3x3.weight: expected it for conv, found none (missing.safetensors)"]),
            ("shape", small, 1, ["tensor features.9.expand3x3.weight: expected shape 192x48x3x3, found 192x48x1x1 (shape.safetensors)"]),
            ("other", [], 1, ["network: expected the metadata key arch, or tensors with the names of torchvision's", "found neither (other.safetensors)"]),
            ("good", ["--input", "3x16x16"], 1, ["expected an input that the window fits into", "(good.safetensors)"]),
            ("good", ["--input", "4x40x40"], 1, ["tensor features.0.weight: expected shape 64x4x3x3, found 64x3x3x3"]),
            ("good", ["--until", "layer3"], 1, ["module: expected one of squeezenet1_1, found layer3 (good.safetensors)"]),
            ("good", ["--input", "3x40"], 2, ["--input: expected CxHxW, found 3x40"]),
            ("good", ["--input", "3x40x40x1"], 2, ["found 3x40x40x1"]),
            ("good", ["--input", "3x40x0"], 2, ["found 3x40x0"]),
            ("good", ["--input", "3x40x-4"], 2, ["found 3x40x-4"]),
            ("good", ["--input", "x".join(["16777216"] * 3)], 1, ["found 16777216 x 16777216 x 16777216", "good.safetensors"]),
            ("good", ["--input"], 2, ["expected an argument of --input"]),
            ("arch", small, 1, ["--input: expected it with the tensor names of torchvision, found the metadata key arch (arch.safetensors)"]),
            ("arch", ["--until", "0"], 1, ["--until: expected it with the tensor names"]),
        )
    )


@test
def net_tells_the_modules():
    got = json.loads(run("net", "good.safetensors", "--json", "--until", "features.4").stdout)
    layers = got["layers"]
    return (
        [a["module"] for a in layers if a["parameters"]]
        == ["features.0"] + ["features.%d.%s" % (i, p) for i in (3, 4) for p in ("squeeze", "expand1x1", "expand3x3")]
        and layers[-1]["output"] == [128, 55, 55]
        and layers[-1]["words"] == "cat left"
        and got["input"] == [3, 224, 224]
        and "module" not in run("net", "arch.safetensors", "--json").stdout
        and "features.4.expand1x1" in run("net", "good.safetensors").stdout
    )


if __name__ == "__main__":
    right = True
    for i, f in enumerate(tests):
        ok = f()
        right &= ok
        print("%s %d - %s" % ("ok" if ok else "not ok", i + 1, f.__name__), flush=True)
    sys.exit(not right)
