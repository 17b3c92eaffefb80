"""What the benchmarks share: two things timed in turn, so that both meet the same noise."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

Ratio = Callable[..., float]


@pytest.fixture
def ratio():
    """`ratio(slow, fast, label)` runs both in turn on one thread, prints and gives the median of slow / fast."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def measure(slow: Callable[[], object], fast: Callable[[], object], label: str, repeats: int = 60) -> float:
        for _ in range(3):
            slow(), fast()
        seconds = np.empty((repeats, 2))
        for k in range(repeats):
            for side, call in enumerate((slow, fast)):
                began = time.perf_counter()
                call()
                seconds[k, side] = time.perf_counter() - began
        value = float(np.median(seconds[:, 0] / seconds[:, 1]))
        low, high = np.percentile(seconds[:, 0] / seconds[:, 1], [25, 75])
        milliseconds = 1e3 * np.median(seconds[:, 1])
        print(f"\n{label}: {value:.2f}x (quartiles {low:.2f} to {high:.2f}), fast side {milliseconds:.2f} ms")
        return value

    yield measure
    torch.set_num_threads(threads)
