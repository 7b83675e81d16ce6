"""What the benchmarks share: medians of repeated runs, and the memory that a function needs at its peak."""
import os, re, resource, statistics, sys, time
from multiprocessing import get_context
from pathlib import Path


def peak():
    "The most memory that this process has had, in MB."
    if (status := Path('/proc/self/status')).exists(): return int(re.search(r'VmHWM:\s+(\d+)', status.read_text())[1])*1024/1e6  # getrusage would tell of the parent's, too
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss*(1 if sys.platform == 'darwin' else 1024)/1e6  # bytes there, kilobytes elsewhere


def _child(connection, prepare, run, repeats, threads):
    import torch
    torch.set_num_threads(threads)
    state = prepare()
    before = peak()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run(state)
        times.append(time.perf_counter() - start)
    connection.send((statistics.median(times), peak() - before))


def _run(prepare, run, repeats, threads):
    here, there = get_context('spawn').Pipe()
    process = get_context('spawn').Process(target=_child, args=(there, prepare, run, repeats, threads))
    process.start()
    there.close()
    try: return here.recv()
    except EOFError: sys.exit('the measured process died')
    finally: process.join()


def measure(prepare, run, repeats=3, threads=2):
    """Median seconds of `run(prepare())`, and its peak memory in MB above what was prepared.

    Each in a process of its own. For memory, glibc is told to give freed blocks back at once (slower, hence the second
    process): otherwise the peak tells of the holes in its heap, and not of what is in use.
    """
    seconds, _ = _run(prepare, run, repeats, threads)
    os.environ['MALLOC_MMAP_THRESHOLD_'] = '1000000'
    try: return seconds, _run(prepare, run, 1, threads)[1]
    finally: del os.environ['MALLOC_MMAP_THRESHOLD_']


def table(rows, head=('', 'seconds', 'MB')):
    "Rows of (name, seconds, MB), and nothing else."
    print(f'{head[0]:34}{head[1]:>10}{head[2]:>10}')
    for name, seconds, mb in rows: print(f'{name:34}{seconds:10.3f}{mb:10.0f}')
