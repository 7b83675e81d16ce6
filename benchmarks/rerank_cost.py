"""What re-ranking costs beside the search alone (baseline), with the database on disk.

    python benchmarks/rerank_cost.py [--n 1000000] [--dim 512] [--queries 100] [--shortlist 400]
        [--methods superglobal auto ...] [--diffusion 100000] [--folder /tmp] [--repeats 3]

A database of random unit vectors is written to disk as float32. The baseline searches for the
shortlist; each method searches for it, too, and re-ranks it. Printed are the median seconds and the
peak memory of both, each in a process of its own, and the ratio of the seconds.

Then the walks of `Diffusion` are made for the first --diffusion rows (0: leave it out), kept on
disk, and queries are ranked by them. Printed are the seconds and memory of the making, and what a
query costs after its search.
"""

import argparse
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from measure import measure, print_table, write_random_descriptors
from search import Prepared, prepare

from deepir.rerank import Diffusion, make_reranker
from deepir.search import search
from deepir.store import Rows

METHODS = ("superglobal", "affinity", "aqe", "dqe", "k_reciprocal", "auto")


def search_only(prepared: Prepared, shortlist: int) -> None:
    "Search for the shortlist."
    search(*prepared, shortlist)


def search_and_rerank(prepared: Prepared, shortlist: int, name: str) -> None:
    "Search for the shortlist and re-rank it."
    make_reranker(name)(*prepared, shortlist=search(*prepared, shortlist))


def open_part(path: str, n_queries: int, dim: int, n: int) -> Prepared:
    "Make queries and open the first rows of a database."
    queries, db = prepare(path, n_queries, dim)
    return Prepared(queries, Rows(db[:n]))


def make_walks(prepared: Prepared, folder: Path) -> None:
    "Make the walks of a database, from nothing."
    shutil.rmtree(folder, ignore_errors=True)
    Diffusion(prepared.db, folder, progress=False)


def cost_of_diffusion(path: str, folder: Path, args: argparse.Namespace) -> None:
    "Measure the making of walks and their use."
    opened = partial(open_part, path, args.queries, args.dim, args.diffusion)
    made = measure(opened, partial(make_walks, folder=folder), 1, args.threads)
    print_table({f"diffusion, {args.diffusion} rows, offline": made})
    torch.set_num_threads(args.threads)
    queries, db = opened()
    diffusion = Diffusion(db, folder, progress=False)
    shortlist = search(queries, db, args.shortlist)
    diffusion(queries[:1], db, shortlist=type(shortlist)(*(part[:1] for part in shortlist)))
    start = time.perf_counter()
    diffusion(queries, db, shortlist=shortlist)
    each = (time.perf_counter() - start) / len(queries)
    print(f"online: {1000 * each:.1f} ms for each query after its search")


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--n", type=int, default=1_000_000)
    p.add_argument("--dim", type=int, default=512)
    p.add_argument("--queries", type=int, default=100)
    p.add_argument("--shortlist", type=int, default=400)
    p.add_argument("--methods", nargs="*", default=METHODS)
    p.add_argument("--diffusion", type=int, default=0)
    p.add_argument("--folder", help="where to write the database")
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = f"{folder}/db.npy"
        write_random_descriptors(path, max(args.n, args.diffusion), args.dim)
        opened = partial(prepare, path, args.queries, args.dim)
        of_search = partial(search_only, shortlist=args.shortlist)
        rows = {"search": measure(opened, of_search, args.repeats, args.threads)}
        for name in args.methods:
            run = partial(search_and_rerank, shortlist=args.shortlist, name=name)
            rows[f"search, {name}"] = measure(opened, run, args.repeats, args.threads)
        print_table(rows)
        for name, row in list(rows.items())[1:]:
            print(f"{name:34}{row.seconds / rows['search'].seconds:10.2f} times the search alone")
        if args.diffusion:
            cost_of_diffusion(path, Path(folder) / "walks", args)


if __name__ == "__main__":
    main()
