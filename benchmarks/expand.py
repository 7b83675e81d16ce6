"""Alpha query expansion against a loop over queries, as the original does it (baseline).

    python benchmarks/expand.py [--queries 5000] [--n 100000] [--dim 512] [--k 10] [--alpha 3]
        [--repeats 3]

The baseline is written again here, in numpy: it computes all scores, partitions them, and averages
the weighted neighbours of one query after the other. Both begin with the same matrix product, which
is the limit of any exact expansion, so the bare product is timed as well. Printed are median
seconds and peak memory of all three, their ratios, what each adds to the bare product, and how much
the results of the two differ.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from measure import measure, print_table
from torch import Tensor

from deepir.core import l2_normalize
from deepir.expand import aqe


class Descriptors(NamedTuple):
    "What is compared."

    queries: Tensor  # (Q, D)
    db: Tensor  # (N, D)


def random_descriptors(n_queries: int, n: int, dim: int) -> Descriptors:
    "Return a random database and queries near its first rows."
    generator = torch.Generator().manual_seed(0)
    db = l2_normalize(torch.randn(n, dim, generator=generator))
    noise = torch.randn(n_queries, dim, generator=generator)
    return Descriptors(l2_normalize(db[:n_queries] + 0.05 * noise), db)


def loop(queries: Tensor, db: Tensor, k: int, alpha: float) -> np.ndarray:
    "Expand one query after the other."
    queries, db = queries.numpy(), db.numpy()
    scores = queries @ db.T
    nearest = np.argpartition(scores, -k, axis=1)[:, -k:]
    expanded = np.zeros_like(queries)
    for i, query in enumerate(queries):
        neighbours = [db[j] * scores[i, j] ** alpha for j in nearest[i]]
        mean = np.vstack([query, *neighbours]).mean(0)
        expanded[i] = mean / np.linalg.norm(mean)
    return expanded


def bare_product(descriptors: Descriptors) -> None:
    "Compute all scores, tile by tile, and do nothing with them."
    for tile in descriptors.db.split(16384):
        descriptors.queries @ tile.T


def expand(descriptors: Descriptors, function: Callable, k: int, alpha: float) -> None:
    "Call a function that expands queries."
    function(*descriptors, k, alpha)


def largest_difference(dim: int, k: int, alpha: float) -> float:
    "Compare the results of baseline and deepir on a few queries."
    queries, db = random_descriptors(200, 20000, dim)
    expected = torch.from_numpy(loop(queries, db, k, alpha))
    return (expected - aqe(queries, db, k, alpha)).abs().max().item()


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--queries", type=int, default=5000)
    p.add_argument("--n", type=int, default=100_000)
    p.add_argument("--dim", type=int, default=512)
    p.add_argument("--k", type=int, default=10)
    p.add_argument("--alpha", type=float, default=3.0)
    p.add_argument("--repeats", type=int, default=3)
    args = p.parse_args()
    prepare = partial(random_descriptors, args.queries, args.n, args.dim)
    options = {"k": args.k, "alpha": args.alpha}
    baseline = measure(prepare, partial(expand, function=loop, **options), args.repeats)
    bare = measure(prepare, bare_product, args.repeats)
    ours = measure(prepare, partial(expand, function=aqe, **options), args.repeats)
    print_table(
        {"one query at a time": baseline, "deepir": ours, "bare matrix product, by tiles": bare}
    )
    print(
        f"{baseline.seconds / ours.seconds:.1f} times faster, "
        f"{baseline.mb / ours.mb:.1f} times less memory; in addition to the product "
        f"{baseline.seconds - bare.seconds:.1f} s against {ours.seconds - bare.seconds:.1f} s; "
        f"{ours.seconds / bare.seconds:.2f} times the time of the product"
    )
    print(f"on 200 queries the results differ by {largest_difference(args.dim, **options):.0e}")


if __name__ == "__main__":
    main()
