"""Search on disk against the bare tiled matrix product (baseline).

    python benchmarks/search.py [--n 1000000] [--dim 512] [--queries 1000] [--k 100] [--folder /tmp] [--growth]

A database of random unit vectors is written to disk as float32. Baseline: the same tiles read in the same way and multiplied, nothing else.
Each runs in a process of its own, in turns; medians, their ratio, and peak memory above what stood before. Then equality with the full
computation on 20,000. --growth prints time and memory for databases of 10^3 to 10^6.
"""
import argparse, os, tempfile
from functools import partial
from pathlib import Path
import numpy as np
import torch
from deepir.core import l2_normalize
from deepir.search import search
from deepir.store import Rows
from measure import measure

TILE = 16384


def write_database(path, n, dim):
    "Random unit vectors on disk, made a tile at a time."
    if Path(path).exists(): return
    def rows(a, b): return l2_normalize(torch.randn(b - a, dim, generator=torch.Generator().manual_seed(a)))
    with open(path, 'wb') as f:
        np.lib.format.write_array_header_1_0(f, dict(descr='<f4', fortran_order=False, shape=(n, dim)))
        for a in range(0, n, TILE): f.write(rows(a, min(n, a + TILE)).numpy().tobytes())


def prepare(path, queries, dim):
    db = Rows(path)
    db[:1] @ torch.ones(dim, 1)  # the libraries are loaded before memory is counted
    return l2_normalize(torch.randn(queries, dim, generator=torch.Generator().manual_seed(7))), db


def bare(state):
    q, db = state
    out = q.new_empty(len(q)*TILE)
    for a in range(0, len(db), TILE):
        part = db[a:a + TILE]
        torch.mm(q, part.T, out=out[:len(q)*len(part)].view(len(q), len(part)))


def ours(k, state): search(*state, k, tile=TILE)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--n', type=int, default=1_000_000)
    p.add_argument('--dim', type=int, default=512)
    p.add_argument('--queries', type=int, default=1000)
    p.add_argument('--k', type=int, default=100)
    p.add_argument('--repeats', type=int, default=3)
    p.add_argument('--folder')
    p.add_argument('--growth', action='store_true')
    args = p.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as d:
        sizes = [10**3, 10**4, 10**5, 10**6] if args.growth else [args.n]
        for n in sizes:
            path = f'{d}/{n}.npy'
            write_database(path, n, args.dim)
            ready = partial(prepare, path, args.queries, args.dim)
            (t0, m0), (t1, m1) = measure(ready, bare, args.repeats), measure(ready, partial(ours, min(args.k, n)), args.repeats)
            print(f'{args.queries} queries, {n} x {args.dim}, top {min(args.k, n)}: product {t0:.3f} s, {m0:.0f} MB; search {t1:.3f} s, {m1:.0f} MB; ratio {t1/t0:.2f}', flush=True)
            os.remove(path)
        write_database(f'{d}/small.npy', 20000, args.dim)
        q, db = prepare(f'{d}/small.npy', args.queries, args.dim)
        full, order = (q @ db[:].T).sort(descending=True, stable=True)
        scores, indices = search(q, db, args.k)
        differ = indices != order[:, :args.k]
        print(f'20000, against the full computation: scores differ by {(scores - full[:, :args.k]).abs().max():.0e}; {int(differ.sum())} of {differ.numel()} places differ'
              + (f', between scores at most {(scores - full[:, :args.k])[differ].abs().max():.0e} apart' if differ.any() else ''))


if __name__ == '__main__': main()
