"""What the benchmarks share: measured processes, tables, and random descriptors on disk."""

import os
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from deepir.core import l2_normalize


class Measurement(NamedTuple):
    "Time and memory of a function."

    seconds: float  # median over repeats
    mb: float  # peak memory above what stood before, in MB of 10^6 bytes


def peak_memory() -> float:
    "Return the most memory that this process has had so far, in MB."
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would report the parent's peak if that is higher
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _child(
    connection: Connection, prepare: Callable, run: Callable, repeats: int, threads: int
) -> None:
    torch.set_num_threads(threads)
    state = prepare()
    before = peak_memory()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run(state)
        times.append(time.perf_counter() - start)
    connection.send(Measurement(statistics.median(times), peak_memory() - before))


def _in_own_process(prepare: Callable, run: Callable, repeats: int, threads: int) -> Measurement:
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_child, args=(there, prepare, run, repeats, threads))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        sys.exit("the measured process died")
    finally:
        process.join()


def measure(
    prepare: Callable,  # makes what `run` needs; not measured
    run: Callable,  # of what `prepare` returned
    repeats: int = 3,
    threads: int = 2,  # of torch
) -> Measurement:
    """Measure the time and the peak memory of a function, each in a process of its own.

    To measure memory, glibc is told to return freed blocks at once. This is slower, hence the
    second process. Otherwise the peak would also count the holes in the heap.
    """
    seconds = _in_own_process(prepare, run, repeats, threads).seconds
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "1000000"
    try:
        return Measurement(seconds, _in_own_process(prepare, run, 1, threads).mb)
    finally:
        del os.environ["MALLOC_MMAP_THRESHOLD_"]


def print_table(rows: dict[str, Measurement]) -> None:
    "Print a line for each measurement."
    print(f"{'':34}{'seconds':>10}{'MB':>10}")
    for name, (seconds, mb) in rows.items():
        print(f"{name:34}{seconds:10.3f}{mb:10.0f}")


def write_random_descriptors(
    path: str | Path,  # the .npy file to write
    n: int,
    dim: int,
    dtype: str = "<f4",  # of the file, as numpy names it
    tile: int = 16384,  # descriptors in memory at a time
) -> None:
    "Write random unit vectors, the same ones each time."
    with open(path, "wb") as file:
        header = {"descr": dtype, "fortran_order": False, "shape": (n, dim)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n, tile):
            generator = torch.Generator().manual_seed(start)
            rows = l2_normalize(torch.randn(min(tile, n - start), dim, generator=generator))
            file.write(rows.numpy().astype(dtype).tobytes())
