#!/usr/bin/python3
"""Recomputes logits of saved networks in numpy, knowing nothing of our code.

A file is 8 bytes of length, JSON, data; its "arch" is the network in one line.
Every layer is computed in float64, together with the variance v of the error
that float32 makes: a sum of k products is rounded k times, each time by at most
u = 2^-24 of what has been added up, at most a = sum |w||x| + |b|.  Errors that
are independent and uniform (Higham and Mary, SIAM J. Sci. Comput. 41 (2019),
A2815) have the variance k (u a)^2 / 3; those that came in are carried by w^2.
The logits must agree within eight standard deviations.
"""
import glob, json, os, sys

try:
    import numpy as np
except ImportError:
    print("skipped: tests/read_network.py needs python3-numpy")
    sys.exit(0)

U = 2.0**-24


def read(path):
    raw = open(path, "rb").read()
    size = int.from_bytes(raw[:8], "little")
    head, data = json.loads(raw[8 : 8 + size]), raw[8 + size :]
    arch = head.pop("__metadata__")["arch"]
    return arch, {
        name: np.frombuffer(data[t["data_offsets"][0] : t["data_offsets"][1]],
                            "<f4").reshape(t["shape"]).astype(float)
        for name, t in head.items()}


def windows(x, k, stride, pad):
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    x = np.lib.stride_tricks.sliding_window_view(x, (k, k), (2, 3))
    return x[:, :, ::stride, ::stride]


def linear(words, x, w, b):
    if words[0] == "dense":
        return x @ w.T + b
    x = windows(x, w.shape[2], words[1].get("stride", 1), words[1].get("pad", 0))
    return np.tensordot(x, w, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2) + \
        b[:, None, None]


def run(arch, tensors, x):
    v, kept = np.zeros_like(x), {}
    for i, line in enumerate(arch.split(";")[1:]):
        word, *rest = line.split()
        options = {k: int(n) for k, n in (r.split("=") for r in rest if "=" in r)}
        if word in ("dense", "conv"):
            w, b = tensors.pop(f"{i}.weight"), tensors.pop(f"{i}.bias")
            a = linear((word, options), abs(x), abs(w), abs(b))
            v = linear((word, options), v, w * w, 0 * b) + w[0].size * (U * a)**2 / 3
            x = linear((word, options), x, w, b)
        elif word == "maxpool":
            k = int(rest[0])
            x, v = (windows(t, k, options.get("stride", k), 0).max((4, 5))
                    for t in (x, v))
        elif word == "relu":
            x = np.maximum(x, 0)
        elif word == "flatten":
            x, v = x.reshape(len(x), -1), v.reshape(len(v), -1)
        elif word in ("mark", "from"):
            if word == "mark":
                kept[rest[0]] = x, v
            x, v = kept[rest[0]]
        elif word == "add":
            x, v = x + kept[rest[0]][0], v + kept[rest[0]][1]
            v = v + (U * x)**2 / 3
        else:
            sys.exit(f"tests/read_network.py: arch: expected a word of this "
                     f"script, found {word}")
    assert not tensors, f"tensors left over: {list(tensors)}"
    return x, v


def main(folder):
    answers = sorted(glob.glob(os.path.join(folder, "*-logits.npy")))
    if not answers:
        sys.exit(f"tests/read_network.py: expected *-logits.npy, found none ({folder})")
    worst = (0, "", 0)
    for path in answers:
        net = path[: -len("-logits.npy")]
        ours = np.load(path).astype(float)
        x, v = run(*read(net + ".safetensors"), np.load(net + "-images.npy").astype(float))
        off = abs(x - ours) / np.sqrt(v)
        if not np.all(off <= 8):
            sys.exit(f"tests/read_network.py: logits: expected within 8 standard "
                     f"deviations of float32 rounding, found {off.max():.3g} ({path})")
        worst = max(worst, (off.max(), os.path.basename(net), abs(x - ours).max()))
    print(f"ok - {len(answers)} networks read and recomputed in numpy, logits off by at "
          f"most {worst[0]:.2f} of 8 standard deviations ({worst[1]}, {worst[2]:.1e})")


main(sys.argv[1] if len(sys.argv) > 1 else "build/quick/networks/train")
