"""Exact search on disk against the bare matrix product of the same tiles (baseline).

    python benchmarks/search.py [--n 1000000] [--dim 512] [--queries 1000] [--k 100] [--repeats 3]
        [--folder /tmp] [--growth]

A database of random unit vectors is written to disk as float32. The baseline reads the same tiles
in the same way and multiplies them, nothing else. Printed are the median seconds of both, each in a
process of its own, their ratio, and the peak memory of each above what stood before. Then search is
compared with the full computation on 20,000 rows. With --growth, databases of 10^3 to 10^6 rows are
searched, which shows how time and memory grow.
"""

import argparse
import os
import tempfile
from functools import partial
from typing import NamedTuple

import torch
from measure import measure, write_random_descriptors
from torch import Tensor

from deepir.core import l2_normalize
from deepir.search import search
from deepir.store import Rows

TILE = 16384


class Prepared(NamedTuple):
    "What is compared."

    queries: Tensor  # (Q, D)
    db: Rows  # (N, D), on disk


def prepare(path: str, n_queries: int, dim: int) -> Prepared:
    "Make queries and open the database."
    db = Rows(path)
    db[:1] @ torch.ones(dim, 1)  # libraries are loaded before memory is counted
    generator = torch.Generator().manual_seed(7)
    return Prepared(l2_normalize(torch.randn(n_queries, dim, generator=generator)), db)


def bare_product(prepared: Prepared) -> None:
    "Compute all scores, tile by tile, and do nothing with them."
    queries, db = prepared
    memory = queries.new_empty(len(queries) * TILE)
    for start in range(0, len(db), TILE):
        rows = db[start : start + TILE]
        scores = memory[: len(queries) * len(rows)].view(len(queries), len(rows))
        torch.mm(queries, rows.T, out=scores)


def search_all(prepared: Prepared, k: int) -> None:
    "Search for all queries."
    search(*prepared, k, tile=TILE)


def compare_times(folder: str, n: int, args: argparse.Namespace) -> None:
    "Print time and memory of both for a database of n rows."
    path, k = f"{folder}/{n}.npy", min(args.k, n)
    write_random_descriptors(path, n, args.dim)
    ready = partial(prepare, path, args.queries, args.dim)
    bare = measure(ready, bare_product, args.repeats)
    ours = measure(ready, partial(search_all, k=k), args.repeats)
    print(
        f"{args.queries} queries, {n} x {args.dim}, top {k}: "
        f"product {bare.seconds:.3f} s, {bare.mb:.0f} MB; "
        f"search {ours.seconds:.3f} s, {ours.mb:.0f} MB; "
        f"ratio {ours.seconds / bare.seconds:.2f}",
        flush=True,
    )
    os.remove(path)


def compare_results(folder: str, args: argparse.Namespace, n: int = 20000) -> None:
    "Print how search differs from sorting all scores."
    path = f"{folder}/small.npy"
    write_random_descriptors(path, n, args.dim)
    queries, db = prepare(path, args.queries, args.dim)
    all_scores, order = (queries @ db[:].T).sort(descending=True, stable=True)
    scores, indices = search(queries, db, args.k)
    score_differences = (scores - all_scores[:, : args.k]).abs()
    moved = indices != order[:, : args.k]
    report = (
        f"{n} rows, against the full computation: scores differ by {score_differences.max():.0e}; "
        f"{int(moved.sum())} of {moved.numel()} matches differ"
    )
    if moved.any():
        report += f", between scores at most {score_differences[moved].max():.0e} apart"
    print(report)


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--n", type=int, default=1_000_000)
    p.add_argument("--dim", type=int, default=512)
    p.add_argument("--queries", type=int, default=1000)
    p.add_argument("--k", type=int, default=100)
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--folder", help="where the database is written (default: the system's choice)")
    p.add_argument("--growth", action="store_true")
    args = p.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for n in [10**3, 10**4, 10**5, 10**6] if args.growth else [args.n]:
            compare_times(folder, n, args)
        compare_results(folder, args)


if __name__ == "__main__":
    main()
