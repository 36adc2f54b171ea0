#!/usr/bin/python3
"""knots_oracle.py [NET.safetensors [A.npy B.npy]]: knots and changes of the
pattern of a network along a line, in rationals (pieces.h says what these are).

Layer by layer, on each interval on its own: no event, no filter, no rounding.
Only Python's own library.  Prints one JSON document as `underhood knots` does;
without arguments it tests itself.
"""
import json
import math
import struct
import sys
from fractions import Fraction as F

INFINITY = float("inf")
LETTER = {"F64": "d", "F32": "f", "F16": "e"}


def load(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8 : 8 + size])
    arch, tensor = head.pop("__metadata__")["arch"], {}
    for name, t in head.items():
        a, b = t["data_offsets"]
        letter, raw = LETTER[t["dtype"]], data[8 + size + a : 8 + size + b]
        tensor[name] = struct.unpack("<%d%s" % (len(raw) // struct.calcsize(letter), letter), raw)
    return [line.split() for line in arch.split(";")], tensor


def load_npy(path):
    data = open(path, "rb").read()
    letter = "f" if b"<f4" in data[:128] else "d"
    raw = data[10 + struct.unpack("<H", data[8:10])[0] :]
    return [F(x) for x in struct.unpack("<%d%s" % (len(raw) // struct.calcsize(letter), letter), raw)]


def single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def plus(terms, bias=0):
    """bias + sum of w (p + s t)"""
    terms = list(terms)
    return (sum((w * f[0] for w, f in terms), F(bias)), sum((w * f[1] for w, f in terms), F(0)))


def windows(shape, out, kernel, stride, pad, dilation):
    """For each output place of a plane: the places (kernel place, row, column)."""
    for y in range(out[0]):
        for x in range(out[1]):
            yield [
                (i * kernel[1] + j, r, c)
                for i in range(kernel[0])
                for j in range(kernel[1])
                for r in [y * stride[0] + i * dilation[0] - pad[0]]
                for c in [x * stride[1] + j * dilation[1] - pad[1]]
                if -pad[0] <= r < shape[1] + pad[0] and -pad[1] <= c < shape[2] + pad[1]
            ]


def options(words):
    """The numbers of a layer's line, and its options as pairs."""
    o = {w.split("=")[0]: [float(v) for v in w.split("=")[1].split("x")] for w in words if "=" in w}
    return [w for w in words if "=" not in w], o


def pair(o, key, default):
    v = o.get(key, default)
    return [int(v[0]), int(v[-1])]


def extent(n, k, s, p, d, ceiling):
    over = n + 2 * p - d * (k - 1) - 1
    out = (over + (s - 1 if ceiling else 0)) // s + 1
    return out - 1 if ceiling and (out - 1) * s >= n + p else out


def planes(f, shape):
    h, w = shape[1], shape[2]
    return lambda c, r, s: f[(c * h + r) * w + s] if 0 <= r < h and 0 <= s < w else None


def crossings(forms, low, high):
    for p, s in forms:
        if s != 0 and low < -p / s < high:
            yield -p / s


def inside(low, high):
    if low == -INFINITY:
        return F(0) if high == INFINITY else high - 1
    return low + 1 if high == INFINITY else (low + high) / 2


def at(f, t):
    return f[0] + f[1] * t


def step(index, words, tensor, shape, f, kept):
    """One layer on one interval: the new shape and either forms, or a list of
    (candidates, slope if off): forms among which the layer chooses."""
    kind, (numbers, o) = words[0], options(words[1:])
    get = lambda name: tensor.get("%d.%s" % (index, name))
    if kind == "dense":
        n, w = int(numbers[0]), get("weight")
        b = get("bias") or [0] * n
        return [n, 1, 1], [plus(zip(map(F, w[i * len(f) : (i + 1) * len(f)]), f), b[i]) for i in range(n)], None
    if kind in ("conv", "maxpool", "meanpool"):
        k = [int(v) for v in numbers[1 if kind == "conv" else 0 :]]
        k = [k[0], k[-1]]
        stride = pair(o, "stride", [1] if kind == "conv" else k)
        pad, dil = pair(o, "pad", [0]), pair(o, "dilation", [1])
        out = [extent(shape[1 + d], k[d], stride[d], pad[d], dil[d], "ceil" in o) for d in (0, 1)]
        place, win = planes(f, shape), list(windows(shape, out, k, stride, pad, dil))
        if kind == "maxpool":
            every = [[place(c, r, s) for _, r, s in v] for c in range(shape[0]) for v in win]
            return [shape[0]] + out, None, [([g for g in v if g], None) for v in every]
        if kind == "meanpool":
            every = [(len(v), [place(c, r, s) for _, r, s in v]) for c in range(shape[0]) for v in win]
            return [shape[0]] + out, [plus((F(1, n), g) for g in v if g) for n, v in every], None
        n, groups, w = int(numbers[0]), int(o.get("groups", [1])[0]), get("weight")
        b, deep, area = get("bias") or [0] * n, shape[0] // groups, k[0] * k[1]
        new = []
        for i in range(n):
            for v in win:
                terms = [(F(w[(i * deep + c) * area + m]), place(i // (n // groups) * deep + c, r, s)) for c in range(deep) for m, r, s in v]
                new.append(plus(((a, g) for a, g in terms if g), b[i]))
        return [n] + out, new, None
    if kind in ("relu", "leakyrelu"):
        slope = F(single(float(numbers[0]))) if numbers else F(0)
        return shape, None, [([g], slope) for g in f]
    if kind == "batchnorm":
        eps = single(o.get("eps", [1e-05])[0])
        w, b, m, v = (get(x) for x in ("weight", "bias", "running_mean", "running_var"))
        b = b or [0] * len(w)
        area, new = shape[1] * shape[2], []
        for i, g in enumerate(f):
            scale = w[i // area] / math.sqrt(v[i // area] + eps)
            shift = single(b[i // area] - m[i // area] * scale)
            new.append(plus([(F(single(scale)), g)], shift))
        return shape, new, None
    if kind == "mark":
        kept[numbers[0]] = (shape, f)
    if kind == "from":
        return kept[numbers[0]] + (None,)
    if kind == "add":
        return shape, [plus([(1, g), (1, h)]) for g, h in zip(f, kept[numbers[0]][1])], None
    if kind == "cat":
        first, g = kept[numbers[0]]
        return [first[0] + shape[0]] + shape[1:], g + f, None
    return [len(f), 1, 1] if kind == "flatten" else shape, f, None


def walk(layers, tensor, low, high, shape, f):
    """Intervals (low, high, pattern, output), in order."""
    todo, done = [(low, high, 0, shape, f, {}, ())], []
    while todo:
        low, high, index, shape, f, kept, pattern = todo.pop()
        if index == len(layers):
            done.append((low, high, pattern, f))
            continue
        shape, new, choices = step(index, layers[index], tensor, shape, f, kept)
        if choices is None:
            todo.append((low, high, index + 1, shape, new, dict(kept), pattern))
            continue
        gaps = [g if slope is not None else (g[0] - h[0], g[1] - h[1]) for c, slope in choices for j, g in enumerate(c) for h in c[: j + (slope is not None)]]
        ends = [low] + sorted(set(crossings(gaps, low, high))) + [high]
        for a, b in reversed(list(zip(ends, ends[1:]))):
            t, new, chosen = inside(a, b), [], []
            for c, slope in choices:
                if slope is not None:
                    chosen.append(at(c[0], t) > 0)
                    new.append(c[0] if chosen[-1] else (slope * c[0][0], slope * c[0][1]))
                else:
                    values = [at(g, t) for g in c]
                    chosen.append(values.index(max(values)))
                    new.append(c[chosen[-1]])
            todo.append((a, b, index + 1, shape, new, dict(kept), pattern + tuple(chosen)))
    return done


def count(path, ends=None):
    return count_of(*load(path), ends and [load_npy(e) for e in ends])


def count_of(layers, tensor, ends=None):
    shape = ([int(v) for v in layers[0][1:]] + [1, 1])[:3]
    if ends:
        f, low, high = [(p, q - p) for p, q in zip(*ends)], F(0), F(1)
    else:
        f, low, high = [(F(0), F(1))], -INFINITY, INFINITY
    pieces = walk(layers[1:], tensor, low, high, shape, f)
    positions, changes = [], 0
    for left, right in zip(pieces, pieces[1:]):
        if [g[1] for g in left[3]] != [g[1] for g in right[3]]:
            positions.append(float(left[1]))
        else:
            changes += left[2] != right[2]
    return {"knots": len(positions), "pattern_changes": changes, "positions": positions}


def known():
    """What the oracle itself is held to: |x|, x, and max(x, 1 - x) twice."""
    two = {"0.weight": [1, -1], "2.weight": [1, 1]}
    arch = [w.split() for w in "input 1; dense 2; relu; dense 1".split(";")]
    pool = [w.split() for w in "input 1 1 2; maxpool 1 2".split(";")]
    yield "absolute_value", count_of(arch, two), (1, 0, [0.0])
    yield "identity", count_of(arch, dict(two, **{"2.weight": [1, -1]})), (0, 1, [])
    yield "two_winners", count_of(pool, {}, [[F(0), F(1)], [F(1), F(0)]]), (1, 0, [0.5])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(count(sys.argv[1], sys.argv[2:4] if len(sys.argv) == 4 else None)))
        sys.exit()
    right = [tuple(found.values()) == want for _, found, want in known()]
    for i, (name, _, _) in enumerate(known()):
        print("%s %d - the_oracle_knows_%s" % ("ok" if right[i] else "not ok", i + 1, name))
    sys.exit(not all(right))
