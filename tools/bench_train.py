#!/usr/bin/python3
"""The time of an epoch of training in PyTorch; see tools/bench_train.c.

    bench_train.py [lenet|dense] [STEPS]

Prints the same line: seconds per epoch of 600 steps, seconds of processor and
of wall of the timed steps.  OMP_NUM_THREADS (1 unless given) and
OPENBLAS_NUM_THREADS are the threads.  Needs Debian's python3-torch.
"""
import os
import sys
import time

import torch
from torch import nn

WARM_UP, BATCH, STEPS_OF_EPOCH = 10, 100, 600

NETS = {
    "lenet": lambda: nn.Sequential(
        nn.Conv2d(1, 32, 5), nn.MaxPool2d(3), nn.ReLU(),
        nn.Conv2d(32, 64, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(256, 200), nn.ReLU(), nn.Linear(200, 10)),
    "dense": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(784, 3500), nn.ReLU(),
        nn.Linear(3500, 784), nn.ReLU(), nn.Linear(784, 10)),
}


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "lenet"
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    if name not in NETS:
        sys.exit("usage: bench_train.py [lenet|dense] [STEPS]")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(1)
    count = (WARM_UP + steps) * BATCH
    x = torch.rand(count, 1, 28, 28)
    y = torch.randint(0, 10, (count,))
    net = NETS[name]()
    loss = nn.CrossEntropyLoss()
    optim = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    order = torch.randperm(count)
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            wall, cpu = time.perf_counter(), time.process_time()
        batch = order[step * BATCH:(step + 1) * BATCH]
        optim.zero_grad(set_to_none=True)
        loss(net(x[batch]), y[batch]).backward()
        optim.step()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{wall / steps * STEPS_OF_EPOCH:.4f} {cpu:.4f} {wall:.4f}")


if __name__ == "__main__":
    main()
