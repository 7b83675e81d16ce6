"""Methods of re-ranking on sets of labelled photos, by several networks.

    python benchmarks/rerank.py DIR... [--thin DIR...] [--models NAME=MODEL...] [--only NAME...]
        [--mobilenet FILE] [--methods NAME...] [--queries 500] [--cache FOLDER]
        [--json results.json] [--plot gain.png]

DIR and MODEL are as in models.py. Each photo is a query for the others of its label, and is not in
its own shortlist. Printed are the mAP of the plain ranking (finite sum, percent), and for each
method the difference to it with a 95 % bootstrap interval over queries, the same queries for both.

--thin names sets with many photos for each label. Half of the labels of such a set are thinned to
1, 2, 4, 8, 16 and 32 photos to find (and the query itself); the others keep all of theirs. The mean
difference over queries of thinned labels is printed, and drawn with --plot.

Of larger sets, --queries photos are drawn as queries, and the database stays whole. --cache keeps
descriptors.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from models import OFF_THE_SHELF, bootstrap, load_set, mobilenet

from deepir.core import reuse_memory
from deepir.datasets import Dataset, Subset
from deepir.extractor import Extractor
from deepir.metrics import average_precision
from deepir.rerank import make_reranker, search_without, shortlist_size, with_photos
from deepir.search import Matches

METHODS = ("aqe", "dqe", "superglobal", "affinity", "diffusion(progress=False)", "k_reciprocal")
METHODS += ("auto",)  # and "local", which takes hours on large sets
TO_FIND = (1, 2, 4, 8, 16, 32)


class Task(NamedTuple):
    "Queries among the photos of a database."

    photos: Dataset  # N, for methods that look at them
    desc: torch.Tensor  # (N, D)
    labels: np.ndarray  # (N,)
    queries: np.ndarray  # (Q,) rows


def whole(photos: Dataset, desc: torch.Tensor, n_queries: int) -> Task:
    "Search for photos of a set that have others of their label."
    labels = np.array(photos.labels)
    counts = dict(zip(*np.unique(labels, return_counts=True)))
    queries = np.flatnonzero([counts[label] > 1 for label in labels])
    queries = np.sort(np.random.default_rng(1).permutation(queries)[:n_queries])
    return Task(photos, desc, labels, queries)


def thinned(
    photos: Dataset, desc: torch.Tensor, n_queries: int, to_find: int, seed: int = 0
) -> Task:
    "Thin half of the labels, and search for their photos only."
    labels = np.array(photos.labels)
    rng = np.random.default_rng([seed, to_find])
    names = np.unique(labels)
    is_thinned = set(rng.permutation(names)[: len(names) // 2])
    kept, queries = [], []
    for name in names:
        rows = rng.permutation(np.flatnonzero(labels == name))
        if name in is_thinned:
            rows = rows[: to_find + 1]
            queries += rows.tolist()
        kept += rows.tolist()
    kept = np.sort(kept)
    queries = np.sort(rng.permutation(queries)[:n_queries])
    places = np.searchsorted(kept, queries)
    return Task(Subset(photos, kept), desc[kept], labels[kept], places)


def average_precisions(task: Task, listed: Matches | None = None) -> np.ndarray:  # (Q,)
    "Score the plain rankings, or those with the listed photos in front."
    found = []
    for i, q in enumerate(task.queries):
        order = np.argsort(-(task.desc @ task.desc[q]).numpy(), kind="stable")
        if listed is not None:
            first = listed.indices[i].numpy()
            order = np.concatenate([first, order[~np.isin(order, first)]])
        order = order[order != q]
        found.append(average_precision(np.flatnonzero(task.labels[order] == task.labels[q])))
    return np.array(found)


def differences(
    task: Task, methods: dict, extractor: Extractor
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    "Return the AP of the plain ranking and what each method changes."
    own = [[q] for q in task.queries]
    plain, changes = average_precisions(task), {}
    query_photos = Subset(task.photos, task.queries)
    for name, method in methods.items():
        method = with_photos(method, extractor, task.photos, query_photos)
        size = shortlist_size(method)
        shortlist = search_without(task.desc[task.queries], task.desc, size, own)
        listed = method(task.desc[task.queries], task.desc, shortlist=shortlist)
        changes[name] = average_precisions(task, listed) - plain
    return plain, changes


def describe(extractor: Extractor, photos: Dataset, cache: Path | None) -> torch.Tensor:
    "Describe the photos of a set, or read what was described before."
    store = cache and cache / f"{photos.name}.{extractor.fingerprint}"
    return extractor.extract(photos, store, progress=sys.stderr.isatty()).desc[:]


def draw(gains: dict[str, dict], path: Path) -> None:
    "Draw the mean difference against the number of photos to find, a panel for each network."
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(gains), figsize=(5 * len(gains), 4.5), sharey=True)
    for ax, (title, rows) in zip(np.atleast_1d(axes), gains.items()):
        for method in next(iter(rows.values())):
            width = 3 if method == "auto" else 1.3
            ax.plot([row[method] for row in rows.values()], ".-", label=method, linewidth=width)
        ax.axhline(0, color="black", linewidth=0.8)
        ax.set(title=title, xlabel="photos to find, for each query")
        ax.set_xticks(range(len(rows)), list(rows))
    np.atleast_1d(axes)[0].set_ylabel("change of mAP, points")
    np.atleast_1d(axes)[0].legend()
    fig.savefig(path, dpi=150, bbox_inches="tight")


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("folders", type=Path, nargs="*", metavar="DIR")
    p.add_argument("--thin", type=Path, nargs="+", default=[], metavar="DIR")
    p.add_argument("--models", nargs="+", default=[], metavar="NAME=MODEL")
    p.add_argument("--only", nargs="+", help="of the models, try these only")
    p.add_argument("--mobilenet", type=Path, help="a file of weights of mobilenet_v2().features")
    p.add_argument("--methods", nargs="+", default=METHODS)
    p.add_argument("--queries", type=int, default=500)
    p.add_argument("--cache", type=Path, help="folder to keep descriptors in")
    p.add_argument("--json", type=Path, help="file to write the results to")
    p.add_argument("--plot", type=Path, help="file to draw the thinned sets in")
    args = p.parse_args()
    models = {name: name for name in (*OFF_THE_SHELF, "toy", "landmarks")}
    models |= dict(text.split("=", 1) for text in args.models)
    if args.mobilenet:
        models["mobilenet_v2"] = mobilenet(args.mobilenet)
    methods = {name.split("(")[0]: make_reranker(name) for name in args.methods}
    results, gains = {}, {}

    def report(title: str, task: Task, extractor: Extractor) -> dict[str, float]:
        plain, changes = differences(task, methods, extractor)
        row = {"plain": bootstrap(plain, 2000)} | {
            name: bootstrap(change, 2000) for name, change in changes.items()
        }
        print(f"{title:32}" + "".join(f"{value!s:>22}" for value in row.values()), flush=True)
        results[title] = row
        if args.json:
            args.json.write_text(json.dumps(results, indent=1) + "\n")
        return {name: row[name].mean for name in methods}

    print(f"{'':32}" + "".join(f"{name:>22}" for name in ("plain", *methods)))
    with reuse_memory():
        for name in args.only or models:
            settings = {"max_size": 1024} if name in OFF_THE_SHELF else {}
            extractor = Extractor(models[name], **settings)
            for folder in args.folders:
                photos = load_set(folder)
                desc = describe(extractor, photos, args.cache)
                task = whole(photos, desc, args.queries)
                report(f"{name}, {photos.name}", task, extractor)
            for folder in args.thin:
                photos = load_set(folder)
                desc = describe(extractor, photos, args.cache)
                title = f"{name}, {photos.name}"
                gains[title] = {
                    n: report(
                        f"{title}, {n} to find",
                        thinned(photos, desc, args.queries, n),
                        extractor,
                    )
                    for n in TO_FIND
                }
    if args.plot:
        draw(gains, args.plot)


if __name__ == "__main__":
    main()
