#!/usr/bin/python3
"""tools.py: underhood seen from outside: what it prints, writes and refuses; and
a step of an experiment that is given bad data sets."""
import gzip
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, "tests")
sys.dont_write_bytecode = True
import knots_oracle
import tensors

try:
    import numpy
except ImportError:
    numpy = None

TOOL = os.path.abspath("build/underhood")
STEP = os.path.abspath("build/bin/networks/train")
NOBODY = 65534
FOLDER = tempfile.mkdtemp()
tests = []


def test(f):
    tests.append(f)
    return f


def path(name):
    return os.path.join(FOLDER, name)


def run(*words, **more):
    return subprocess.run([TOOL, *map(str, words)], capture_output=True, text=True, cwd=FOLDER, **more)


def packed(values, letter):
    if isinstance(values, bytes):
        return values
    return struct.pack("<%d%s" % (len(values), letter), *values)


def save_bytes(name, head, data):
    tensors.write_raw(path(name), head, data)
    return name


def save(name, arch, entries, dtype="F32"):
    """entries: name -> (shape, numbers)"""
    letter = {"F32": "f", "F64": "d", "F16": "e"}[dtype]
    tensors.write(path(name), {key: (dtype, shape, packed(values, letter)) for key, (shape, values) in entries.items()}, {"arch": arch})
    return name


def save_npy(name, shape, values, descr="<f4", order="False"):
    text = "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }" % (descr, order, tuple(shape))
    text = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    letter = {"<f4": "f", "<f8": "d", "|u1": "B", ">f4": ">f"}[descr][-1]
    with open(path(name), "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + packed(values, letter))
    return name


def load_npy(name):
    data = open(path(name), "rb").read()
    size = struct.unpack("<H", data[8:10])[0]
    head = eval(data[10 : 10 + size])  # our own file
    letter = {"<f4": "f", "<f8": "d"}[head["descr"]]
    raw = data[10 + size :]
    return head["shape"], list(struct.unpack("<%d%s" % (len(raw) // struct.calcsize(letter), letter), raw))


def single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def refused(result, status, *words, program="underhood"):
    """One line on stderr with these words, nothing on stdout."""
    line = result.stderr
    return (
        result.returncode == status
        and result.stdout == ""
        and line.startswith(program + ": ")
        and line.count("\n") == 1
        and line.endswith("\n")
        and all(w in line for w in words)
    )


ABSOLUTE = ("input 1; dense 2; relu; dense 1", {"0.weight": ([2, 1], [1, -1]), "0.bias": ([2], [-0.5, 0.5]), "2.weight": ([1, 2], [1, 1])})


# -- knots ----------------------------------------------------------------------


def numbers(r):
    style = r.choice(["float", "halves", "signs"])
    if style == "float":
        return lambda: single(r.gauss(0, 1))
    return (lambda: r.randint(-4, 4) / 2) if style == "halves" else (lambda: r.choice([-1, 0, 1]))


def random_dense(r, name):
    number, arch, t, before, index = numbers(r), "input 1", {}, 1, 0
    depth = r.randint(1, 4)
    for k in range(depth):
        n = r.randint(1, 5)
        arch += "; dense %d" % n
        t["%d.weight" % index] = ([n, before], [number() for _ in range(n * before)])
        if r.random() < 0.8:
            t["%d.bias" % index] = ([n], [number() for _ in range(n)])
        index, before = index + 1, n
        if k < depth - 1 or r.random() < 0.3:
            arch += r.choice(["; relu", "; relu", "; leakyrelu 0.25", "; leakyrelu 0.1"])
            index += 1
    return save(name, arch, t, r.choice(["F32", "F32", "F64"]))


drawn = []  # the lines of random_image_net


def random_image_net(r, name):
    """A network of random layers on a small image; its input's shape."""
    number, shape, t, index = numbers(r), [r.randint(1, 2), r.randint(3, 5), r.randint(3, 5)], {}, 0
    c, size = shape[0], shape[1:]
    arch = "input %d %d %d" % tuple(shape)

    def after(k, s, p, d=1, up=0):
        out = [knots_oracle.extent(size[i], k[i], s, p, d, up) for i in (0, 1)]
        return out if min(out) > 0 and all(size[i] + 2 * p >= d * (k[i] - 1) + 1 for i in (0, 1)) else None

    for _ in range(r.randint(2, 6)):
        kind = r.choice(["conv", "conv", "relu", "relu", "leakyrelu", "maxpool", "meanpool", "batchnorm", "residual", "projected", "fire"])
        if kind == "conv":
            k, s, p, d, g = [r.randint(1, 3), r.randint(1, 3)], r.randint(1, 2), r.randint(0, 1), r.randint(1, 2), r.choice([1, 1, c])
            if not after(k, s, p, d):
                continue
            n, size = g * r.randint(1, 2), after(k, s, p, d)
            arch += "; conv %d %d %d stride=%d pad=%d dilation=%d groups=%d" % (n, *k, s, p, d, g)
            t["%d.weight" % index] = ([n, c // g, *k], [number() for _ in range(n * (c // g) * k[0] * k[1])])
            if r.random() < 0.7:
                t["%d.bias" % index] = ([n], [number() for _ in range(n)])
            c = n
        elif kind in ("maxpool", "meanpool"):
            k, s, p, up = [r.randint(1, 3), r.randint(2, 3)], r.randint(1, 3), r.randint(0, 1), r.randint(0, 1)
            k = r.choice([k, [k[1], k[1]]])
            p = min(p, k[0] // 2)
            if not after(k, s, p, 1, up):
                continue
            size = after(k, s, p, 1, up)
            arch += "; %s %s stride=%d pad=%d%s" % (kind, "%d" % k[0] if k[0] == k[1] and r.random() < 0.5 else "%d %d" % tuple(k), s, p, " ceil=1" if up else "")
        elif kind == "leakyrelu":
            arch += "; leakyrelu " + r.choice(["0.1", "0.1", "0.25", "2", "1", "-0.5", "0"])
        elif kind == "batchnorm":
            arch += "; batchnorm" + r.choice(["", " eps=0.125"])
            for what in ("weight", "bias", "running_mean"):
                t["%d.%s" % (index, what)] = ([c], [number() for _ in range(c)])
            t["%d.running_var" % index] = ([c], [abs(number()) for _ in range(c)])
        elif kind == "residual":
            arch += "; mark a; relu; conv %d 3 3 pad=1; add a" % c
            t["%d.weight" % (index + 2)] = ([c, c, 3, 3], [number() for _ in range(9 * c * c)])
            index += 3
        elif kind == "projected":
            n = r.randint(1, 2)
            arch += "; mark a; conv %d 3 3 pad=1; relu; mark b; from a; conv %d 1 1; add b" % (n, n)
            t["%d.weight" % (index + 1)] = ([n, c, 3, 3], [number() for _ in range(9 * n * c)])
            t["%d.weight" % (index + 5)] = ([n, c, 1, 1], [number() for _ in range(n * c)])
            c, index = n, index + 6
        elif kind == "fire":
            first = r.choice(["conv 2 1 1", "meanpool 3 stride=1 pad=1", "relu"])
            second = r.randint(1, 2)
            arch += "; mark s; %s; mark b; from s; conv %d 3 3 pad=1; relu; cat b" % (first, second)
            if "conv" in first:
                t["%d.weight" % (index + 1)] = ([2, c, 1, 1], [number() for _ in range(2 * c)])
            t["%d.weight" % (index + 4)] = ([second, c, 3, 3], [number() for _ in range(9 * second * c)])
            c, index = (2 if "conv" in first else c) + second, index + 6
        else:
            arch += "; " + kind
        index += 1
    drawn.append(arch + "; flatten; dense 2")
    n = c * size[0] * size[1]
    t["%d.weight" % (index + 1)] = ([2, n], [number() for _ in range(2 * n)])
    entries = shape[0] * shape[1] * shape[2]
    ends = [
        save_npy("a.npy", shape, [number() for _ in range(entries)]),
        save_npy("b.npy", [1, entries], [number() for _ in range(entries)], "<f8"),
    ]
    return save(name, drawn[-1], t, r.choice(["F32", "F32", "F64"])), ends


def agree(name, ends=None):
    words = ["--from", ends[0], "--to", ends[1]] if ends else []
    got = run("knots", name, "--json", *words)
    want = knots_oracle.count(path(name), ends and [path(e) for e in ends])
    found = json.loads(got.stdout) if got.returncode == 0 else {"stderr": got.stderr}
    if {k: found.get(k) for k in want} != want:
        print("#", open(path(name), "rb").read(300)[8:], str(found)[:300], str(want)[:300])
    return {k: found.get(k) for k in want} == want, want["knots"]


@test
def knots_of_random_dense_networks_agree_with_rationals():
    r = random.Random(1)
    results = [agree(random_dense(r, "n.safetensors")) for _ in range(150)]
    return all(ok for ok, _ in results) and sum(n for _, n in results) > 300


@test
def knots_of_random_image_networks_agree_with_rationals():
    r = random.Random(2)
    drawn.clear()
    results = [agree(*random_image_net(r, "n.safetensors")) for _ in range(130)]
    words = {w.split()[0] for arch in drawn for w in arch.split(";")}
    every = {"input", "dense", "conv", "maxpool", "meanpool", "relu", "leakyrelu", "batchnorm", "flatten", "mark", "from", "add", "cat"}
    return all(ok for ok, _ in results) and sum(n for _, n in results) > 300 and words == every


@test
def integers_alone_give_the_same_document_but_the_certificate():
    r, good = random.Random(3), 0
    for _ in range(20):
        random_dense(r, "n.safetensors")
        one = json.loads(run("knots", "n.safetensors", "--json").stdout)
        two = json.loads(run("knots", "n.safetensors", "--json", "--exact").stdout)
        good += two.pop("certificate") == "exact" and one.pop("certificate") in ("exact", "certified") and one == two
    return good == 20


@test
def the_list_the_json_and_the_text_hold_the_same_doubles():
    save("n.safetensors", "input 1; dense 9; relu; dense 1", {"0.weight": ([9, 1], [single(0.1 + k) for k in range(9)]), "0.bias": ([9], [single(0.3 * k * k - 2) for k in range(9)]), "2.weight": ([1, 9], [1] * 9)})
    document = json.loads(run("knots", "n.safetensors", "--json", "--list", "out.npy").stdout)
    text = run("knots", "n.safetensors").stdout.split("positions\n")[1].split()
    shape, listed = load_npy("out.npy")
    return (
        shape == (9,) and document["positions"] == listed == [float(x) for x in text] == sorted(listed)
        and set(document) == {"knots", "pattern_changes", "certificate", "positions"} and document["knots"] == 9
    )


@test
def the_longest_numbers_are_whole():
    bends = [1.2345678901234567e-150 * k for k in range(1, 4)] + [1.2345678901234567e-300]
    save("n.safetensors", "input 1; dense 4; relu", {"0.weight": ([4, 1], [1] * 4), "0.bias": ([4], bends)}, "F64")
    want = sorted(-x for x in bends)
    text = run("knots", "n.safetensors").stdout.split("positions\n")[1].split()
    return json.loads(run("knots", "n.safetensors", "--json").stdout)["positions"] == want == [float(x) for x in text]


@test
def without_knots_the_list_is_empty_but_there():
    save("n.safetensors", "input 1; dense 1", {"0.weight": ([1, 1], [2])})
    result = run("knots", "n.safetensors", "--json", "--list", "out.npy")
    return load_npy("out.npy") == ((0,), []) and json.loads(result.stdout) == {"knots": 0, "pattern_changes": 0, "certificate": "exact", "positions": []}


@test
def doubles_in_a_file_count_as_they_are():
    save("n.safetensors", "input 1; dense 1; relu", {"0.weight": ([1, 1], [3.0]), "0.bias": ([1], [-0.1])}, "F64")
    return json.loads(run("knots", "n.safetensors", "--json").stdout)["positions"] == [0.1 / 3]


@test
def a_network_that_is_not_piecewise_linear_is_one_line():
    save("n.safetensors", "input 1; dense 1; tanh; dense 1", {"0.weight": ([1, 1], [1]), "2.weight": ([1, 1], [1])})
    return refused(run("knots", "n.safetensors", "--json"), 1, "layer 1: expected a piecewise linear layer, found tanh (n.safetensors)")


@test
def a_line_that_does_not_fit_the_network_is_one_line():
    save("n.safetensors", "input 2 2 1; flatten; dense 1", {"1.weight": ([1, 4], [1, 2, 3, 4])})
    save_npy("three.npy", [3], [1, 2, 3])
    save_npy("four.npy", [4], [1, 2, 3, 4])
    save_npy("nan.npy", [4], [1, 2, 3, float("nan")])
    save_npy("bytes.npy", [4], [1, 2, 3, 4], "|u1")
    ends = lambda a, b: run("knots", "n.safetensors", "--from", a, "--to", b)
    return (
        refused(run("knots", "n.safetensors"), 1, "expected one number, or the two ends of a segment, found 4")
        and refused(ends("three.npy", "four.npy"), 1, "expected one input of shape 2x2x1 or 4, found 3 (three.npy)")
        and refused(ends("four.npy", "nan.npy"), 1, "nan.npy")
        and refused(ends("four.npy", "bytes.npy"), 1, "bytes.npy", "<f4")
        and refused(ends("four.npy", "none.npy"), 1, "none.npy")
        and ends("four.npy", "four.npy").returncode == 0
    )


@test
def a_closed_pipe_is_quiet():
    save("n.safetensors", "input 1; dense 2000; relu", {"0.weight": ([2000, 1], [1] * 2000), "0.bias": ([2000], list(range(2000)))})
    for command in (["knots"], ["net"], ["lipschitz", "--bounds", "proved"], ["lipschitz", "--json", "--bounds", "proved"], ["eval", "--help"]):
        nobody, end = os.pipe()
        os.close(nobody)
        result = subprocess.run([TOOL, *command, path("n.safetensors")], stdout=end, stderr=subprocess.PIPE)
        os.close(end)
        if result.stderr or result.returncode != 128 + signal.SIGPIPE:
            return False
    return True


@test
def a_reader_of_the_first_line_gets_it_and_nobody_complains():
    save("n.safetensors", "input 1; dense 12000; relu; dense 1", {"0.weight": ([12000, 1], [1] * 12000), "0.bias": ([12000], list(range(12000))), "2.weight": ([1, 12000], [1] * 12000)})
    save("deep.safetensors", "input 1; dense 1" + "; relu" * 3000, {"0.weight": ([1, 1], [1])})
    for words in ("knots n", "knots n --json", "net n", "net deep", "lipschitz deep --bounds proved"):
        line = '"$0" %s | head -n 1; exit ${PIPESTATUS[0]}' % " ".join(w + ".safetensors" if w in ("n", "deep") else w for w in words.split())
        result = subprocess.run(["bash", "-c", line, TOOL], capture_output=True, text=True, cwd=FOLDER)
        if result.stderr or len(result.stdout.split("\n")[0]) < 5 or result.returncode not in (0, 128 + signal.SIGPIPE):
            return False
    return True


@test
def an_interrupt_leaves_nothing_under_a_final_name():
    r = random.Random(5)
    width, layers = 100, 12
    t = {"0.weight": ([width, 1], [single(r.gauss(0, 1)) for _ in range(width)]), "0.bias": ([width], [single(r.gauss(0, 1)) for _ in range(width)])}
    for k in range(1, layers):
        t["%d.weight" % (2 * k)] = ([width, width], [single(r.gauss(0, 0.14)) for _ in range(width * width)])
        t["%d.bias" % (2 * k)] = ([width], [single(r.gauss(0, 1)) for _ in range(width)])
    save("n.safetensors", "input 1" + "; dense %d; relu" % width * layers, t)
    save("deep.safetensors", "input 1 64 64" + "; conv 16 3 3 pad=1; relu" * 6 + "; conv 1 3 3", {"%d.weight" % k: ([n, c, 3, 3], [0.1] * (9 * n * c)) for k, n, c in [(0, 16, 1)] + [(2 * k, 16, 16) for k in range(1, 6)] + [(12, 1, 16)]})
    wide = "input 16 96 96; conv 64 5 5 pad=2; relu; conv 64 5 5 pad=2"
    save("wide.safetensors", wide, {"0.weight": ([64, 16, 5, 5], [single(r.gauss(0, 1)) for _ in range(64 * 400)]), "2.weight": ([64, 64, 5, 5], [single(r.gauss(0, 1)) for _ in range(64 * 1600)])})
    save_npy("x.npy", [2000, 1, 64, 64], struct.pack("<f", 0.5) * (2000 * 4096))
    os.mkdir(path("empty"))
    knots = ["knots", path("n.safetensors"), "--exact", "--list", path("empty/out.npy")]
    evaluation = ["eval", path("deep.safetensors"), path("x.npy"), path("empty/y.npy")]
    norms = ["lipschitz", path("wide.safetensors"), "--json"]
    for number, words in ((signal.SIGINT, knots), (signal.SIGTERM, knots), (signal.SIGINT, evaluation), (signal.SIGINT, norms)):
        child = subprocess.Popen([TOOL, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(0.4)
        child.send_signal(number)
        out, _ = child.communicate()
        if child.returncode != 128 + number or out or os.listdir(path("empty")):
            return False
    return True


# -- net and eval ---------------------------------------------------------------------


@test
def net_tells_layers_shapes_parameters_and_digest():
    weights = {"0.weight": ([3, 1, 2, 2], [0.5] * 12), "0.bias": ([3], [0] * 3), "4.weight": ([5, 3], [1] * 15), "4.bias": ([5], [0] * 5)}
    arch = "input 1 4 4; conv 3 2 2; relu; maxpool 3; flatten; dense 5"
    save("n.safetensors", arch, weights)
    save("wide.safetensors", arch, weights, "F64")
    one, two = (json.loads(run("net", n, "--json").stdout) for n in ("n.safetensors", "wide.safetensors"))
    text = run("net", "n.safetensors").stdout
    import hashlib

    digest = hashlib.sha256(packed([0.5] * 12 + [0] * 3 + [1] * 15 + [0] * 5, "f")).hexdigest()
    return (
        [(a["index"], a["kind"], a["output"], a["parameters"]) for a in one["layers"]]
        == [(0, "conv", [3, 3, 3], 15), (1, "relu", [3, 3, 3], 0), (2, "maxpool", [3, 1, 1], 0), (3, "flatten", [3], 0), (4, "dense", [5], 20)]
        and one["parameters"] == 35 and one["input"] == [1, 4, 4] and one["output"] == [5]
        and one["digest"] == two["digest"] == digest
        and one["file_digest"] == hashlib.sha256(open(path("n.safetensors"), "rb").read()).hexdigest()
        and all(w in text for w in ("conv 3 2 2", "3x3x3", "35", digest))
    )


@test
def a_bias_that_the_file_has_none_of_is_no_parameter():
    arch = "input 1 4 4; conv 3 2 2; batchnorm; flatten; dense 2"
    norm = {"1.%s" % what: ([3], [1] * 3) for what in ("weight", "bias", "running_mean", "running_var")}
    save("n.safetensors", arch, {"0.weight": ([3, 1, 2, 2], [0.5] * 12), "3.weight": ([2, 27], [1] * 54), **norm})
    save("zero.safetensors", arch, {"0.weight": ([3, 1, 2, 2], [0.5] * 12), "0.bias": ([3], [0] * 3), "3.weight": ([2, 27], [1] * 54), "3.bias": ([2], [0] * 2), **norm})
    one, two = (json.loads(run("net", n, "--json").stdout) for n in ("n.safetensors", "zero.safetensors"))
    return (
        [a["parameters"] for a in one["layers"]] == [12, 6, 0, 54] and one["parameters"] == 72
        and [a["parameters"] for a in two["layers"]] == [15, 6, 0, 56] and two["parameters"] == 77
        and one["digest"] == two["digest"] and "parameters  72\n" in run("net", "n.safetensors").stdout
    )


@test
def eval_computes_and_keeps_the_shape_of_the_layer():
    save("n.safetensors", "input 1 2 2; conv 2 1 1; relu; flatten; dense 2", {"0.weight": ([2, 1, 1, 1], [1, -1]), "3.weight": ([2, 8], [1] * 8 + list(range(8)))})
    x = [1, -2, 3, -4, 0, 1, 2, 3]
    save_npy("x.npy", [2, 1, 2, 2], x)
    save_npy("flat.npy", [2, 4], x, "<f8")
    done = [run("eval", "n.safetensors", n, n + ".out") for n in ("x.npy", "flat.npy")]
    run("eval", "n.safetensors", "x.npy", "conv.npy", "--layer", 0)
    relu = [[max(0, v) for v in x[4 * i : 4 * i + 4]] + [max(0, -v) for v in x[4 * i : 4 * i + 4]] for i in (0, 1)]
    want = [w for v in relu for w in (sum(v), sum(k * a for k, a in enumerate(v)))]
    return (
        all(d.returncode == 0 and d.stdout == d.stderr == "" for d in done)
        and load_npy("x.npy.out") == load_npy("flat.npy.out") == ((2, 2), want)
        and load_npy("conv.npy") == ((2, 2, 2, 2), x[:4] + [-v for v in x[:4]] + x[4:] + [-v for v in x[4:]])
    )


@test
def eval_of_no_inputs_is_an_array_of_none():
    save("n.safetensors", *ABSOLUTE)
    save_npy("x.npy", [0, 1], [])
    return run("eval", "n.safetensors", "x.npy", "y.npy").returncode == 0 and load_npy("y.npy") == ((0, 1), [])


@test
def eval_agrees_with_numpy():
    if not numpy:
        return None
    r = numpy.random.default_rng(1)
    w, v, b = (r.standard_normal(s).astype("f4") for s in ((30, 20), (7, 30), 30))
    save("n.safetensors", "input 20; dense 30; relu; dense 7", {"0.weight": ([30, 20], w.ravel().tolist()), "0.bias": ([30], b.tolist()), "2.weight": ([7, 30], v.ravel().tolist())})
    x = r.standard_normal((50, 20))
    numpy.save(path("x.npy"), x)
    run("eval", "n.safetensors", "x.npy", "y.npy")
    want = numpy.maximum(x.astype("f4") @ w.T.astype("f8") + b, 0) @ v.T.astype("f8")
    y = numpy.load(path("y.npy"))
    return y.dtype == "f4" and y.shape == (50, 7) and numpy.abs(y - want).max() < 1e-4


@test
def what_overflows_inside_is_one_line():
    save("n.safetensors", "input 1; dense 2; dense 1; relu; dense 1", {"0.weight": ([2, 1], [3e38, 3e38]), "1.weight": ([1, 2], [1, -0.5]), "3.weight": ([1, 1], [1])})
    save("pool.safetensors", "input 1 1 1; conv 2 1 1 pad=1; conv 1 1 1; maxpool 3", {"0.weight": ([2, 1, 1, 1], [3e38, 3e38]), "1.weight": ([1, 2, 1, 1], [1, -0.5])})
    save_npy("x.npy", [2, 1], [1, 10])
    return (
        refused(run("eval", "n.safetensors", "x.npy", "y6.npy"), 1, "layer 3: expected finite outputs, found NaN for input 1 (x.npy)")
        and refused(run("eval", "pool.safetensors", "x.npy", "y6.npy"), 1, "layer 2: expected finite outputs, found NaN for input 1 (x.npy)")
        and not os.path.exists(path("y6.npy"))
    )


@test
def an_output_replaces_a_file_or_leaves_it():
    save("n.safetensors", *ABSOLUTE)
    save_npy("x.npy", [3, 1], [-1, 0, 1])
    save_npy("bad.npy", [3, 2], [0] * 6)
    open(path("y.npy"), "w").write("old")
    before = set(os.listdir(FOLDER))
    kept = refused(run("eval", "n.safetensors", "bad.npy", "y.npy"), 1, "expected shape Nx1, found 3x2 (bad.npy)") and open(path("y.npy")).read() == "old"
    run("eval", "n.safetensors", "x.npy", "y.npy")
    over = run("eval", "n.safetensors", "x.npy", "x.npy")  # onto its own input
    open(path("k.npy"), "w").write("old")
    save("tanh.safetensors", "input 1; tanh", {})
    kept &= run("knots", "tanh.safetensors", "--list", "k.npy").returncode == 1 and open(path("k.npy")).read() == "old"
    run("knots", "n.safetensors", "--list", "k.npy")
    kept &= load_npy("k.npy") == ((1,), [0.5]) and set(os.listdir(FOLDER)) - before <= {"k.npy", "tanh.safetensors"}
    return kept and over.returncode == 0 and load_npy("y.npy") == load_npy("x.npy") == ((3, 1), [1.5, 0.5, 0.5])


@test
def arrays_of_other_kinds_are_one_line():
    save("n.safetensors", *ABSOLUTE)
    for name, shape, values, more in [
        ("u.npy", [2, 1], [1, 2], {"descr": "|u1"}),
        ("o.npy", [2, 1], [1, 2], {"order": "True"}),
        ("e.npy", [2, 1], [1, 2], {"descr": ">f4"}),
        ("i.npy", [2, 1], [1, float("inf")], {}),
        ("l.npy", [1, 1], [1e300], {"descr": "<f8"}),
    ]:
        save_npy(name, shape, values, **more)
        if not refused(run("eval", "n.safetensors", name, "y0.npy"), 1, name):
            return False
        knots = run("knots", "n.safetensors", "--from", name, "--to", name)
        if name != "l.npy" and (not refused(knots, 1, name) or "of shape" in knots.stderr):
            return False
    save_npy("short.npy", [1000, 1], [1])
    return refused(run("eval", "n.safetensors", "short.npy", "y0.npy"), 1, "short.npy") and not os.path.exists(path("y0.npy"))


# -- bad networks ------------------------------------------------------------------------


def tensor(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def every_command(name, *words):
    save_npy("x.npy", [1, 1], [0])
    results = [run("net", name), run("knots", name), run("eval", name, "x.npy", "y1.npy"), run("lipschitz", name)]
    return all(refused(r, 1, name, *words) for r in results) and not os.path.exists(path("y1.npy"))


@test
def bad_networks_are_one_line_from_every_command():
    meta = {"__metadata__": {"arch": "input 1; dense 1"}}
    save_bytes("outside.safetensors", dict(meta, **{"0.weight": tensor([1, 1], 0, 4), "0.bias": tensor([1], 4, 80)}), bytes(8))
    save_bytes("overlap.safetensors", dict(meta, **{"0.weight": tensor([1, 1], 0, 4), "0.bias": tensor([1], 2, 6)}), bytes(6))
    save_bytes("behind.safetensors", dict(meta, **{"0.weight": tensor([1, 1], 0, 4)}), bytes(5))
    save_bytes("json.safetensors", b"{", b"")
    save_bytes("no-arch.safetensors", {"0.weight": tensor([1, 1], 0, 4)}, bytes(4))
    open(path("empty.safetensors"), "wb").close()
    open(path("header.safetensors"), "wb").write(struct.pack("<Q", 1 << 62) + b"{}")
    save("nan.safetensors", "input 1; dense 1", {"0.weight": ([1, 1], [float("nan")])})
    save("shape.safetensors", "input 1; dense 2", {"0.weight": ([1, 1], [1])})
    save("word.safetensors", "input 1; dens 1", {"0.weight": ([1, 1], [1])})
    save("missing.safetensors", "input 1; dense 1", {})
    save("more.safetensors", "input 1; relu", {"0.weight": ([1, 1], [1])})
    return (
        every_command("outside.safetensors") and every_command("overlap.safetensors") and every_command("behind.safetensors")
        and every_command("json.safetensors") and every_command("no-arch.safetensors", "arch") and every_command("empty.safetensors")
        and every_command("header.safetensors") and every_command("nan.safetensors", "0.weight", "NaN")
        and every_command("shape.safetensors", "expected shape 2x1, found 1x1") and every_command("word.safetensors", "dens")
        and every_command("missing.safetensors", "0.weight") and every_command("more.safetensors", "0.weight") and every_command("nowhere.safetensors")
    )


@test
def a_folder_or_a_device_is_no_network():
    os.mkdir(path("folder.safetensors"))
    return every_command("folder.safetensors") and refused(run("net", "/dev/zero"), 1, "/dev/zero")


@test
def data_sets_and_pictures_are_no_networks_and_no_arrays():
    images = idx(8, [3, 28, 28], bytes(3 * 784))
    foreign = {
        "images.idx": images, "short.idx": images[:-1], "magic.idx": b"\1" + images[1:], "overflow.idx": idx(8, [0xFFFFFFFF] * 3, bytes(8)),
        "labels.idx": idx(8, [3], bytes([0, 10, 2])), "images.gz": gzip.compress(images), "early.gz": gzip.compress(images)[:-9],
        "batch.bin": bytes(3073 * 2), "batch-short.bin": bytes(3073 * 2 - 1), "photo.ppm": b"P6 1 1 255\nabc", "text": b"input 1; dense 1\n",
        "net.pt": b"PK\x03\x04" + bytes(60),
    }
    save("n.safetensors", *ABSOLUTE)
    save_npy("ok.npy", [1, 1], [0])
    for name, data in foreign.items():
        with open(path(name), "wb") as f:
            f.write(data)
        arrays = [["eval", "n.safetensors", name, "y5.npy"], ["knots", "n.safetensors", "--from", name, "--to", "ok.npy"], ["knots", "n.safetensors", "--from", "ok.npy", "--to", name]]
        if not every_command(name, "expected ", "found ") or not all(refused(run(*words), 1, name, "expected ", "found ") for words in arrays):
            print("#", name)
            return False
    return every_command("ok.npy") and not os.path.exists(path("y5.npy"))


@test
def a_huge_network_that_ends_early_is_refused_without_memory():
    head = {"__metadata__": {"arch": "input 10000; dense 10000"}, "0.weight": tensor([10000, 10000], 0, 400000000)}
    save_bytes("huge.safetensors", head, bytes(1000))
    save_bytes("half.safetensors", head, b"")
    os.truncate(path("half.safetensors"), 300000000)  # a hole, no disk
    save("none.safetensors", "input 10000; dense 10000; dense 16000000", {})

    def limit():
        resource.setrlimit(resource.RLIMIT_DATA, (16 << 20, 16 << 20))

    save_npy("x.npy", [1, 1], [0])
    for name in ("huge.safetensors", "half.safetensors", "none.safetensors"):
        for words in (["net", name], ["knots", name, "--from", "x.npy", "--to", "x.npy"], ["eval", name, "x.npy", "y2.npy"], ["lipschitz", name]):
            if not refused(run(*words, preexec_fn=limit), 1, name, "tensor", "expected ", "found "):
                return False
    os.remove(path("half.safetensors"))
    return not os.path.exists(path("y2.npy"))


@test
def a_huge_array_that_ends_early_is_refused_without_memory():
    save("n.safetensors", *ABSOLUTE)
    for shape in ([1000000000, 1], [1 << 62, 1], [1 << 33, 1 << 33]):
        save_npy("huge.npy", shape, [1])

        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))

        if not refused(run("eval", "n.safetensors", "huge.npy", "y3.npy", preexec_fn=limit), 1, "huge.npy"):
            return False
    return not os.path.exists(path("y3.npy"))


# -- the world ---------------------------------------------------------------------------------


@test
def a_full_disk_is_one_line_and_leaves_nothing():
    save("n.safetensors", *ABSOLUTE)
    save_npy("x.npy", [10000, 1], [1] * 10000)
    os.mkdir(path("full"))

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    result = run("eval", "n.safetensors", "x.npy", "full/y.npy", preexec_fn=limit)
    save("many.safetensors", "input 1; dense 2000; relu", {"0.weight": ([2000, 1], [1] * 2000), "0.bias": ([2000], list(range(2000)))})
    listed = run("knots", "many.safetensors", "--json", "--list", "full/k.npy", preexec_fn=limit)
    small = [[c, "n.safetensors", *more] for c in ("net", "knots", "lipschitz") for more in ([], ["--json"])]
    for words in (*small, ["knots", "many.safetensors"], ["--help"], ["knots", "--help"], ["help", "lipschitz"]):
        with open("/dev/full", "w") as full:
            out = subprocess.run([TOOL, *words], stdout=full, stderr=subprocess.PIPE, text=True, cwd=FOLDER)
        if out.returncode != 1 or not out.stderr.startswith("underhood: standard output: expected ") or out.stderr.count("\n") != 1:
            return False
    os.symlink("/dev/full", path("device.npy"))
    devices = [run(*words) for words in (["eval", "n.safetensors", "x.npy", "device.npy"], ["knots", "many.safetensors", "--list", "device.npy"])]
    if not all(refused(d, 1, "No space left on device (device.npy)") for d in devices) or not os.path.islink(path("device.npy")):
        return False
    return refused(result, 1, "full/y.npy") and refused(listed, 1, "full/k.npy") and os.listdir(path("full")) == []


@test
def an_unwritable_folder_is_one_line():
    save("n.safetensors", *ABSOLUTE)
    save_npy("x.npy", [1, 1], [1])
    os.mkdir(path("locked"))
    os.chmod(FOLDER, 0o755)
    os.chmod(path("locked"), 0o555)
    shutil.copy(TOOL, path("underhood"))

    def lower():
        if os.getuid() == 0:
            os.setuid(NOBODY)

    commands = ["eval", "n.safetensors", "x.npy", "locked/y.npy"], ["knots", "n.safetensors", "--list", "locked/y.npy"]
    results = [subprocess.run([path("underhood"), *c], capture_output=True, text=True, cwd=FOLDER, preexec_fn=lower) for c in commands]
    return all(refused(r, 1, "locked/y.npy", "Permission denied") for r in results) and os.listdir(path("locked")) == []


# -- data sets, through a step -----------------------------------------------------------------


def idx(kind, dims, data):
    return struct.pack(">HBB%dI" % len(dims), 0, kind, len(dims), *dims) + data


def data_set(name, **files):
    """A folder of small data sets, good but for what is given."""
    good = {
        "mnist/train-images-idx3-ubyte": idx(8, [3, 28, 28], bytes(3 * 784)),
        "mnist/train-labels-idx1-ubyte": idx(8, [3], bytes([0, 1, 2])),
        "mnist/t10k-images-idx3-ubyte": idx(8, [2, 28, 28], bytes(2 * 784)),
        "mnist/t10k-labels-idx1-ubyte": idx(8, [2], bytes([7, 8])),
        "cifar10/data_batch_1_first3.bin": bytes(3073) * 3,
        "cifar10/test_batch_first2.bin": bytes(3073) * 2,
    }
    for set_name in ("mnist", "cifar10"):
        os.makedirs(path(name + "/" + set_name))
    for file, data in good.items():
        changed = files.get(os.path.basename(file).split(".")[0].replace("-", "_"), data)
        if isinstance(changed, tuple):  # another ending
            file, changed = file + changed[0], changed[1]
        with open(path(name + "/" + file), "wb") as f:
            f.write(changed)
    return path(name)


@test
def bad_data_sets_end_a_step_in_one_line():
    if not os.path.exists(STEP):
        return None
    images = idx(8, [3, 28, 28], bytes(3 * 784))
    cases = {
        "short": ("train_images_idx3_ubyte", images[:-1], "train-images-idx3-ubyte"),
        "magic": ("train_images_idx3_ubyte", b"\1" + images[1:], "train-images-idx3-ubyte"),
        "overflow": ("train_images_idx3_ubyte", idx(8, [0xFFFFFFFF] * 3, bytes(8)), "train-images-idx3-ubyte"),
        "large": ("train_images_idx3_ubyte", idx(8, [0x7FFFFFFF, 28, 28], bytes(8)), "train-images-idx3-ubyte"),
        "gzip": ("train_images_idx3_ubyte", (".gz", gzip.compress(images)[:-9]), "train-images-idx3-ubyte.gz"),
        "label": ("train_labels_idx1_ubyte", idx(8, [3], bytes([0, 10, 2])), "train-labels-idx1-ubyte"),
        "counts": ("t10k_labels_idx1_ubyte", idx(8, [3], bytes([7, 8, 9])), "t10k-labels-idx1-ubyte"),
        "cifar": ("test_batch_first2", bytes(3073 * 2 - 1), "test_batch_first2.bin"),
        "cifar-label": ("data_batch_1_first3", bytes(3073 * 2) + b"\x0a" + bytes(3072), "data_batch_1_first3.bin"),
    }
    good = True
    for name, (key, data, said) in cases.items():
        folder, out = data_set("data-" + name, **{key: data}), path("out-" + name)
        os.mkdir(out)
        result = subprocess.run([STEP, "--profile", "full", "--data", folder, "--out", out], capture_output=True, text=True, timeout=60)
        if not refused(result, 1, said, "expected ", "found ", program="train") or os.listdir(out):
            print("#", name, result.returncode, result.stdout, result.stderr, os.listdir(out))
            good = False
        shutil.rmtree(folder)
    return good


@test
def an_output_folder_that_is_not_there_is_one_line():
    save("n.safetensors", *ABSOLUTE)
    save_npy("x.npy", [1, 1], [1])
    return refused(run("eval", "n.safetensors", "x.npy", "nowhere/y.npy"), 1, "nowhere/y.npy") and refused(run("knots", "n.safetensors", "--list", "n.safetensors/y.npy"), 1, "n.safetensors/y.npy")


@test
def wrong_usage_is_one_line_and_status_2():
    save("n.safetensors", *ABSOLUTE)
    return all(
        refused(run(*words), 2, *said, "try underhood --help")
        for words, said in [
            ([], ["command"]), (["knot"], ["knot"]), (["knots"], ["NET.safetensors"]), (["net", "a", "b"], ["found 2"]),
            (["knots", "n.safetensors", "--from", "x.npy"], ["--to"]), (["knots", "--frm"], ["--frm"]), (["knots", "--list"], ["--list"]),
            (["eval", "n.safetensors", "x.npy"], ["OUT.npy"]), (["eval", "n.safetensors", "x.npy", "y.npy", "--layer", "-1"], ["-1"]),
            (["net", "-x", "n.safetensors"], ["found -x;"]), (["net", "-jx", "n.safetensors"], ["found -j;"]),
            (["net", "n.safetensors", "--input=1x1x1", "-Ix"], ["found -I;"]), (["net", "--json=1", "n.safetensors"], ["found --json=1;"]),
            (["lipschitz"], ["NET.safetensors"]), (["lipschitz", "n.safetensors", "--bounds", "least"], ["least"]),
        ]
    ) and refused(run("eval", "n.safetensors", "x.npy", "y.npy", "--layer", 3), 1, "from 0 to 2, found 3")


@test
def of_an_option_given_twice_the_last_counts_and_the_manual_says_so():
    save("n.safetensors", *ABSOLUTE)
    run("knots", "n.safetensors", "--list", "first.npy", "--json", "--list", "last.npy", "--json")
    bounds = json.loads(run("lipschitz", "n.safetensors", "--json", "--bounds", "lower", "--bounds", "proved").stdout)
    return (
        not os.path.exists(path("first.npy")) and load_npy("last.npy") == ((1,), [0.5])
        and bounds["network_lower"] is None and bounds["network_upper"] > 1
        and all("\n\nOf an option that is given twice the last counts.\n\n" in run(c, "--help").stdout for c in ("net", "eval", "knots", "lipschitz"))
    )


def sections_of(page, command):
    """What a manual page has: name and purpose, synopsis, text, options, an example."""
    lines = page.split("\n")
    options = re.findall("--[a-z]+", lines[2])
    return (
        lines[0].startswith("underhood %s: " % command) and lines[1] == "" and lines[2].startswith("usage: underhood %s NET.safetensors" % command)
        and all("\n  %s" % o in page for o in options) and "\n  --help           this\n" in page
        and "\nexample: underhood %s " % command in page and "\nExit status: 0 done, " in page and "\nJOBS=n " in page
        and page.endswith("\n") and not page.endswith("\n\n") and "\n\n\n" not in page
        and all(line == line.rstrip() for line in lines)
    )


@test
def help_names_every_option_it_takes():
    source = ["--input", "--until", "--help"]
    options = {
        "knots": ["--from", "--to", "--json", "--list", "--exact", *source], "net": ["--json", *source],
        "eval": ["--layer", *source], "lipschitz": ["--bounds", "--json", *source],
    }
    overview = run("--help")
    pages = {c: run(c, "--help") for c in options}
    return (
        overview.returncode == 0 and all(c in overview.stdout for c in options)
        and all(p.returncode == 0 and p.stderr == "" and all(o in p.stdout for o in options[c]) for c, p in pages.items())
        and all(len(line) <= 80 for c, p in pages.items() for line in p.stdout.split("\n") if not line.startswith("usage"))
        and all(sections_of(pages[c].stdout, c) for c in options)
        and all(run("help", c).stdout == pages[c].stdout == run(c, "-h").stdout for c in options)
    )


def main():
    failed = 0
    for i, f in enumerate(tests):
        try:
            result = f()
        except Exception as e:
            print("#", type(e).__name__, e)
            result = False
        skip = " # SKIP numpy or the step is missing" if result is None else ""
        print("%s %d - %s%s" % ("ok" if result or skip else "not ok", i + 1, f.__name__, skip))
        failed |= not (result or skip)
    shutil.rmtree(FOLDER)
    return failed


if __name__ == "__main__":
    sys.exit(main())
