"""The machine's SGEMM rate on two threads, 1024³: GFLOP/s as PyTorch's library does it."""

import time

import torch

torch.set_num_threads(2)
a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
times = []
for _ in range(30):
    start = time.perf_counter()
    a @ b
    times.append(time.perf_counter() - start)
print(2 * 1024**3 / sorted(times)[len(times) // 2] / 1e9)
