"""One thread for all arithmetic, so that no result depends on how many a machine has.

How a sum is cut among threads changes its last bits, in PyTorch as in the libraries of linear algebra under NumPy and
SciPy. Jobs have one thread anyway; who asks for more of them gets the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread of PyTorch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def one_thread_of_all() -> Iterator[None]:
    """The same, and of every library that is loaded by now; this takes a millisecond."""
    with threadpool_limits(1), one_thread():
        yield
