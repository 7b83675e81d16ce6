"""Alpha query expansion: one query at a time, as the original does it (baseline), against deepir.

    python benchmarks/expand.py [--queries 5000] [--n 100000] [--dim 512] [--k 10] [--alpha 3]

Medians, the ratio from one run, and how the results differ. The baseline is written anew here, in numpy: all scores, a partition of them,
and a loop over queries that weighs and averages the neighbours. The bare matrix product that both begin with is timed too: it is the limit,
and what each adds to it is printed beside the ratio.
"""
import argparse
from functools import partial
import numpy as np
import torch
from deepir.core import l2_normalize
from deepir.expand import aqe
from measure import measure, table


def loop(queries, db, k, alpha):
    queries, db = queries.numpy(), db.numpy()
    scores, out = queries @ db.T, np.zeros_like(queries)
    near = np.argpartition(scores, -k, axis=1)[:, -k:]
    for i in range(len(queries)):
        rows = np.vstack([queries[i], *(db[j]*scores[i, j]**alpha for j in near[i])])
        mean = rows.mean(0)
        out[i] = mean/np.linalg.norm(mean)
    return out


def data(q, n, dim):
    g = torch.Generator().manual_seed(0)
    db = l2_normalize(torch.randn(n, dim, generator=g))
    return l2_normalize(db[:q] + .05*torch.randn(q, dim, generator=g)), db


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in dict(queries=5000, n=100_000, dim=512, k=10, repeats=3).items(): p.add_argument(f'--{name}', type=int, default=default)
    p.add_argument('--alpha', type=float, default=3.)
    args = p.parse_args()
    ready = partial(data, args.queries, args.n, args.dim)
    theirs = measure(ready, partial(run, loop, args.k, args.alpha), args.repeats)
    bare = measure(ready, product, args.repeats)
    ours = measure(ready, partial(run, aqe, args.k, args.alpha), args.repeats)
    table([('a query at a time', *theirs), ('deepir', *ours), ('bare matrix product, by tiles', *bare)])
    q, db = data(200, 20000, args.dim)
    print(f'{theirs[0]/ours[0]:.1f} times faster, {theirs[1]/ours[1]:.1f} times less memory; beside the product {theirs[0] - bare[0]:.1f} s against {ours[0] - bare[0]:.1f} s; on 200 queries they differ by {np.abs(loop(q, db, args.k, args.alpha) - aqe(q, db, args.k, args.alpha).numpy()).max():.0e}')


def run(f, k, alpha, state): f(*state, k, alpha)


def product(state): # no exact expansion is faster than the scores it begins with
    for tile in state[1].split(16384): state[0] @ tile.T


if __name__ == '__main__': main()
