"""The protocols with a million distractors: places counted tile by tile, against sorted rankings (baseline) where those fit.

    python benchmarks/distractors.py GND [--distractors 1000000] [--dim 512]

GND is a folder with the truth files of Oxford and Paris and their revisions. Descriptors are made from a seed: a query, what is relevant to it near
by, everything else anywhere. With 20,000 distractors both ways run and every query's AP is compared; then the million, on disk as float16.
"""
import argparse, tempfile, time
from functools import partial
from pathlib import Path
import numpy as np
import torch
from deepir.core import l2_normalize
from deepir.datasets import ImageListRelevants
from deepir.eval import average_precision, evaluate_descriptors, relevant_ranks
from deepir.store import Rows
from measure import measure

TILE = 2**16


def descriptors(ds, dim):
    "Queries, and a database in which relevant photos are more or less near."
    g = torch.Generator().manual_seed(len(ds))
    queries, db = l2_normalize(torch.randn(len(ds.queries), dim, generator=g)), torch.randn(len(ds), dim, generator=g)/dim**.5
    for q, truth in enumerate(ds.gnd):
        for kind, pull in dict(ok=.35, easy=.45, hard=.25, junk=.3).items():
            idx = torch.tensor(truth.get(kind, []), dtype=torch.int64)
            db[idx] += pull*torch.rand(len(idx), 1, generator=g)*queries[q]
    return queries, l2_normalize(db)


def write_distractors(path, n, dim):
    with open(path, 'wb') as f:
        np.lib.format.write_array_header_1_0(f, dict(descr='<f2', fortran_order=False, shape=(n, dim)))
        for a in range(0, n, TILE):
            x = l2_normalize(torch.randn(min(TILE, n - a), dim, generator=torch.Generator().manual_seed(a)))
            f.write(x.half().numpy().tobytes())
    return Rows(path)


def by_sorting(ds, queries, db):
    "AP of every query from whole rankings."
    orders = np.argsort(-(queries @ db[:].T).numpy(), axis=1, kind='stable')
    out = {mode: [] for mode in ds.modes}
    for q, order in enumerate(orders):
        place = np.argsort(order)
        for mode in ds.modes: out[mode].append(average_precision(relevant_ranks(*(place[i] for i in ds.truth(q, mode))), ds.ap))
    return out


def ready(ds, path): return ds, *map(torch.from_numpy, np.load(path).values()) # made elsewhere: making them needs more memory than the scoring


def score(state, many):
    ds, queries, db = state
    return evaluate_descriptors(ds, queries, Rows([db, many]), distractors=len(many))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('gnd')
    p.add_argument('--distractors', type=int, default=1_000_000)
    p.add_argument('--dim', type=int, default=512)
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as d:
        few = write_distractors(f'{d}/few.npy', 20_000, args.dim)
        many = write_distractors(f'{d}/many.npy', args.distractors, args.dim)
        sets = [ImageListRelevants(Path(args.gnd)/f'gnd_{name}.pkl') for name in ('oxford5k', 'paris6k', 'roxford5k', 'rparis6k')]
        for ds in sets:
            queries, db = descriptors(ds, args.dim)
            np.savez(f'{d}/{ds.name}.npz', queries, db)
            print(f'{ds.name:10} alone {evaluate_descriptors(ds, queries, db)}\n{"":10} with {len(many)} distractors {score((ds, queries, db), many)}', flush=True)
            seconds, mb = measure(partial(ready, ds, f'{d}/{ds.name}.npz'), partial(score, many=many), 1)
            print(f'{"":10} {seconds:.1f} s, {mb:.0f} MB above data set and queries; the scores alone would be {4*len(queries)*len(many)/1e6:.0f} MB, the database {2*args.dim*len(many)/1e6:.0f} MB on disk', flush=True)
        for ds in sets:
            queries, db = descriptors(ds, args.dim)
            both = Rows([db, few])
            start = time.time()
            counted = evaluate_descriptors(ds, queries, both, distractors=len(few))
            middle = time.time()
            sorted_ = by_sorting(ds, queries, both)
            print(f'{ds.name:10} with {len(few)}: counted {middle - start:.2f} s, sorted {time.time() - middle:.2f} s; '
                  f'the AP of the queries differs by {max(np.abs(counted.AP[m] - np.array(sorted_[m])).max() for m in ds.modes):.0e}')


if __name__ == '__main__': main()
