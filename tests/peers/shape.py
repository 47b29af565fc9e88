"""What all peers share: the sepsis shape, random rows, and how they are timed.

One iteration is five critic steps on one real batch, then one generator step, as
in Kuo et al. (Scientific Data 9:693, 2022): WGAN with gradient penalty 10 and
correlation alignment 10, Adam with lr 1e-3 and betas (0.9, 0.99), f32.
"""

import json
import os
import resource
import sys
import time

NUMERIC, BLOCKS = 35, [2, 2, 2, 13, 10, 10, 10, 10, 10]
WIDTH = NUMERIC + sum(BLOCKS)
HIDDEN = LATENT = 128
CRITIC_STEPS, PENALTY, CORRELATION = 5, 10.0, 10.0

# Where PyTorch's peers run: "cpu", or "cuda". JAX takes the GPU that its package is for.
DEVICE = os.environ.get("HG_PEER_DEVICE", "cpu")


def embedding_width(levels):
    return 2 if levels == 2 else 4


def real_rows(batch, steps):
    import numpy as np

    rng = np.random.default_rng(1)
    rows = [rng.random((batch, steps, NUMERIC), dtype=np.float32)]
    for levels in BLOCKS:
        rows.append(np.eye(levels, dtype=np.float32)[rng.integers(levels, size=(batch, steps))])
    return np.concatenate(rows, -1)


def serve(name, make):
    """Runs an iteration for each line on stdin and answers its milliseconds, so
    that a caller can take turns among peers. `make(batch, steps)` returns a
    function that runs one iteration and waits for its end."""
    start = time.perf_counter()
    batch, steps = int(sys.argv[1]), int(sys.argv[2])
    iteration = make(batch, steps)
    iteration()
    ready = {"name": name, "first_step_ms": (time.perf_counter() - start) * 1e3}
    print(json.dumps(ready), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        iteration()
        elapsed = (time.perf_counter() - start) * 1e3
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"ms": elapsed, "peak_rss_mb": peak}), flush=True)
