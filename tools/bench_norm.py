#!/usr/bin/python3
"""The time that a layer's norm takes in PyTorch, scipy and numpy; see
tools/bench_norm.c.

    bench_norm.py conv1|conv2|conv3|conv4|conv5|dense-svds|dense-svd

convN: 100 power iterations by conv2d and conv_transpose2d, in float32, which
then still err by up to 1 %.  dense-svds: scipy's, one singular value.
dense-svd: numpy's, all of them.  As in tools/bench.h a run that is not measured
comes first: three iterations; none of dense-svd, which takes long.  Prints the
same line: seconds, seconds of processor and of wall.  OMP_NUM_THREADS (1 unless given) and
OPENBLAS_NUM_THREADS are the threads.  Needs Debian's python3-torch for
convolutions, python3-scipy and python3-numpy for dense.
"""
import os
import sys
import time

CONVS = {  # channels in and out, kernel, stride, padding, image
    "conv1": (3, 64, 11, 4, 2, 224), "conv2": (64, 192, 5, 1, 2, 27),
    "conv3": (192, 384, 3, 1, 1, 13), "conv4": (384, 256, 3, 1, 1, 13),
    "conv5": (256, 256, 3, 1, 1, 13)}
NAMES = (*CONVS, "dense-svds", "dense-svd")
ITERATIONS = 100


def convolution(ins, outs, kernel, stride, pad, size):
    import torch
    from torch.nn.functional import conv2d, conv_transpose2d
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(1)
    w = (torch.rand(outs, ins, kernel, kernel) * 2 - 1) / (ins * kernel ** 2) ** 0.5
    x = torch.randn(1, ins, size, size)
    rest = (size + 2 * pad - kernel) % stride

    def power(times):
        v = x
        with torch.no_grad():
            for _ in range(times):
                v = v / v.norm()
                u = conv2d(v, w, stride=stride, padding=pad)
                v = conv_transpose2d(u, w, stride=stride, padding=pad, output_padding=rest)
        return float(u.norm())

    power(3)
    return lambda: power(ITERATIONS)


def dense(name):
    import numpy
    w = ((numpy.random.default_rng(1).random((4096, 9216), dtype=numpy.float32) * 2 - 1) / 96).astype("f4")
    if name == "dense-svd":
        return lambda: numpy.linalg.norm(w, 2)
    from scipy.sparse.linalg import svds

    def find():
        return svds(w, k=1, return_singular_vectors=False)[0]

    find()
    return find


def main():
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in NAMES:
        sys.exit("usage: bench_norm.py conv1|...|conv5|dense-svds|dense-svd")
    work = convolution(*CONVS[name]) if name in CONVS else dense(name)
    wall, cpu = time.perf_counter(), time.process_time()
    norm = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{wall:.6f} {cpu:.6f} {wall:.6f}")
    print(f"{name}: {norm:.10g}", file=sys.stderr)


if __name__ == "__main__":
    main()
