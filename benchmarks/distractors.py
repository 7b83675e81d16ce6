"""The protocols with a million distractors: ranks counted tile by tile against sorted rankings.

    python benchmarks/distractors.py GND [--distractors 1000000] [--few 20000] [--dim 512]

GND is a folder with the truth files of Oxford and Paris and of their revisions. Descriptors are
random: what is relevant to a query lies near it, everything else lies anywhere. With the million
distractors, on disk as float16, time and memory of `evaluate_descriptors` are printed, beside the
size of the scores that it avoids. With few distractors, the baseline runs too: it sorts whole
rankings. Printed are the time of both and the largest difference between the AP of their queries.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from measure import measure, write_random_descriptors
from torch import Tensor

from deepir.core import l2_normalize
from deepir.datasets import ImageListRelevants
from deepir.eval import Report, evaluate_descriptors
from deepir.metrics import average_precision, remove_junk
from deepir.store import Rows

NAMES = ("oxford5k", "paris6k", "roxford5k", "rparis6k")
PULL = {"ok": 0.35, "easy": 0.45, "hard": 0.25, "junk": 0.3}  # how near a photo is to its query


class Problem(NamedTuple):
    "A data set with descriptors."

    dataset: ImageListRelevants
    queries: Tensor  # (Q, D)
    db: Tensor  # (N, D)


def random_problem(dataset: ImageListRelevants, dim: int) -> Problem:
    "Draw descriptors in which relevant photos are more or less near their query."
    generator = torch.Generator().manual_seed(len(dataset))
    queries = l2_normalize(torch.randn(len(dataset.queries), dim, generator=generator))
    db = torch.randn(len(dataset), dim, generator=generator) / dim**0.5
    for query, truth in zip(queries, dataset.gnd):
        for kind, pull in PULL.items():
            photos = torch.tensor(truth.get(kind, []), dtype=torch.int64)
            db[photos] += pull * torch.rand(len(photos), 1, generator=generator) * query
    return Problem(dataset, queries, l2_normalize(db))


def load_problem(dataset: ImageListRelevants, path: str) -> Problem:
    "Read descriptors that were drawn in another process, because drawing needs more memory."
    return Problem(dataset, *map(torch.from_numpy, np.load(path).values()))


def score(problem: Problem, distractors: Rows) -> Report:
    "Evaluate a data set among distractors."
    dataset, queries, db = problem
    everything = Rows([db, distractors])
    return evaluate_descriptors(dataset, queries, everything, distractors=len(distractors))


def score_by_sorting(problem: Problem, distractors: Rows) -> dict[str, np.ndarray]:
    "Return the AP of each query, computed from whole rankings."
    dataset, queries, db = problem
    scores = (queries @ Rows([db, distractors])[:].T).numpy()
    ap = {mode: [] for mode in dataset.modes}
    for q, order in enumerate(np.argsort(-scores, axis=1, kind="stable")):
        rank_of = np.argsort(order)
        for mode in dataset.modes:
            relevant, junk = dataset.truth(q, mode)
            ranks = remove_junk(rank_of[relevant], rank_of[junk])
            ap[mode].append(average_precision(ranks, dataset.ap))
    return {mode: np.array(values) for mode, values in ap.items()}


def measure_many(problem: Problem, distractors: Rows, folder: str) -> None:
    "Print mAP, time and memory with many distractors."
    dataset, queries, db = problem
    path = f"{folder}/{dataset.name}.npz"
    np.savez(path, queries, db)
    n, dim = distractors.shape
    print(f"{dataset.name:10} without distractors {evaluate_descriptors(dataset, queries, db)}")
    print(f"{'':10} with {n} distractors {score(problem, distractors)}", flush=True)
    ready = partial(load_problem, dataset, path)
    seconds, mb = measure(ready, partial(score, distractors=distractors), repeats=1)
    print(
        f"{'':10} {seconds:.1f} s, {mb:.0f} MB above data set and queries; the scores alone "
        f"would be {4 * len(queries) * n / 1e6:.0f} MB, the distractors are "
        f"{2 * dim * n / 1e6:.0f} MB on disk",
        flush=True,
    )


def compare_with_sorting(problem: Problem, distractors: Rows) -> None:
    "Print the time of both ways and how their AP differs."
    start = time.perf_counter()
    counted = score(problem, distractors)
    middle = time.perf_counter()
    by_sorting = score_by_sorting(problem, distractors)
    end = time.perf_counter()
    difference = max(np.abs(counted.AP[m] - ap).max() for m, ap in by_sorting.items())
    print(
        f"{problem.dataset.name:10} with {len(distractors)}: counted {middle - start:.2f} s, "
        f"sorted {end - middle:.2f} s; the AP of the queries differs by at most {difference:.0e}",
        flush=True,
    )


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("gnd", type=Path)
    p.add_argument("--distractors", type=int, default=1_000_000)
    p.add_argument("--few", type=int, default=20_000)
    p.add_argument("--dim", type=int, default=512)
    args = p.parse_args()
    datasets = [ImageListRelevants(args.gnd / f"gnd_{name}.pkl") for name in NAMES]
    with tempfile.TemporaryDirectory() as folder:
        many, few = f"{folder}/many.npy", f"{folder}/few.npy"
        write_random_descriptors(many, args.distractors, args.dim, dtype="<f2")
        write_random_descriptors(few, args.few, args.dim, dtype="<f2")
        for dataset in datasets:
            measure_many(random_problem(dataset, args.dim), Rows(many), folder)
        for dataset in datasets:
            compare_with_sorting(random_problem(dataset, args.dim), Rows(few))


if __name__ == "__main__":
    main()
