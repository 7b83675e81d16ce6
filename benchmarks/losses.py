"""The losses compared on real photos: equal steps from the same start, several seeds.

    python benchmarks/losses.py PHOTOS WEIGHTS [--losses "ap, smooth_ap, arcface(scale=16)"]
        [--seeds 0 1 2] [--steps 150] [--trunk mobilenet_v2] [--size 160] [--lr 5e-5]
        [--cache FOLDER] [--json results.json]

PHOTOS is a folder with `labels.txt` ('path label' lines; paths are below `jpg/`), WEIGHTS a folder
with `mobilenet_v2-features-fp16.pth` and `squeezenet1_1-features-fp16.pth`. The networks are
trained on 30 landmarks, drawn by seed 0, and tested on 500 photos of the 11 others, each a query
for the rest. All photos are shrunk once, into the folder --cache.

Every training starts from the same network, whose projection whitens the descriptors of the 30
landmarks, and sees the same number of photos. A seed decides which photos meet in a batch and how
they are cropped. Printed is the mAP in percent (finite sum) before training and after it: the mean
over seeds, the standard deviation, the extremes, and the mean difference to the first loss with the
standard error of that difference, seed by seed.

Losses have their usual options unless others are named, as in "recall_at_k(ks=[1, 2])". The name
`lr` is also an option: "contrastive(lr=1e-4)". Results that --json holds already are kept and not
computed again; a file of other settings is refused.
"""

import argparse
import copy
import json
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from landmarks import learn_whitening, off_the_shelf, split, with_projection

from deepir.core import Call, parse_calls, reuse_memory
from deepir.datasets import Dataset, ImageListLabels, LabelledDataset
from deepir.eval import evaluate
from deepir.losses import make_loss
from deepir.nets import RetrievalNet
from deepir.train import train

ALL = "ap, tap, smooth_ap, recall_at_k, all_triplets, contrastive, triplet, arcface(scale=16)"


def shrink(photos: Dataset, folder: Path, max_size: int) -> LabelledDataset:
    "Write photos smaller, those that aren't there yet, and return them as a data set."
    for i, key in enumerate(photos.keys):
        path = (folder / key).with_suffix(".jpg")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            photos.open(i, max_size).save(f"{path}.part", "JPEG", quality=95)
            os.replace(f"{path}.part", path)
    keys = [str(Path(key).with_suffix(".jpg")) for key in photos.keys]
    return LabelledDataset(keys, photos.labels, folder, photos.name)


def score(net: RetrievalNet, photos: Dataset) -> float:
    "Measure mAP in percent, at the photos' own size."
    report = evaluate(photos, net, whiten="none", progress=False)
    return round(100 * report.mAP["mAP"], 2)


def train_with(
    start: RetrievalNet, photos: Dataset, call: Call, seed: int, args: argparse.Namespace
) -> RetrievalNet:
    "Train a copy of a network with a loss."
    options = dict(call.kwargs)
    lr = options.pop("lr", args.lr)
    loss = make_loss(call.name, options)
    net = copy.deepcopy(start)
    history = train(
        net,
        photos,
        loss=loss,
        steps=args.steps,
        p=16,
        k=8,
        chunk=32,
        trfs=f"RandomResizedCrop({args.size}, scale=(.25, 1)), ColorJitter(.3, .3, .3)",
        lr=lr,
        warmup=min(10, args.steps // 10),
        precision=args.precision,
        mine_every=25,
        mine_from=600,
        threads=args.threads,
        seed=seed,
        progress=False,
    )
    first, last = np.mean(history.loss[:10]), np.mean(history.loss[-10:])
    print(f"  loss {first:.3f} to {last:.3f}", end="", flush=True)
    return net


def load_results(path: Path | None, settings: dict) -> dict:
    "Read earlier results of the same settings."
    if path is None or not path.exists():
        return {"settings": settings, "start": None, "mAP": {}}
    results = json.loads(path.read_text())
    if results["settings"] != settings:
        sys.exit(f"{path}: results of other settings, {results['settings']}; name another file")
    return results


def print_table(results: dict, names: list[str]) -> None:
    "Print a line for each loss."
    print(f"\n{'mAP, %':34}{'mean':>7}{'SD':>6}{'lowest':>8}{'highest':>9}{'to the first':>20}")
    print(f"{'start':34}{results['start']:7.1f}")
    reference = results["mAP"][names[0]]
    for name in names:
        by_seed = results["mAP"][name]
        values = [*by_seed.values()]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        line = f"{name:34}{statistics.mean(values):7.1f}{spread:6.1f}"
        line += f"{min(values):8.1f}{max(values):9.1f}"
        gains = [by_seed[seed] - reference[seed] for seed in by_seed if seed in reference]
        if name != names[0] and gains:
            error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
            line += f"{statistics.mean(gains):+13.1f} ± {error:.1f}"
        print(line)


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("photos", type=Path)
    p.add_argument("weights", type=Path)
    p.add_argument("--losses", default=ALL)
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--steps", type=int, default=150)
    p.add_argument("--trunk", default="mobilenet_v2", help="or squeezenet1_1")
    p.add_argument("--dim", type=int, default=256, help="dimensions of a descriptor")
    p.add_argument("--size", type=int, default=160, help="of a crop, pixels")
    p.add_argument("--max-size", type=int, default=224, help="longer side of a photo, pixels")
    p.add_argument(
        "--cache", type=Path, default=Path("landmarks_small"), help="folder for the smaller photos"
    )
    p.add_argument("--n-test", type=int, default=500, help="photos to test on")
    p.add_argument("--lr", type=float, default=5e-5)
    p.add_argument("--precision", default="float32")
    p.add_argument("--threads", type=int, default=0, help="processes that crop photos")
    p.add_argument("--json", type=Path, help="file to keep the results in")
    args = p.parse_args()
    calls = {str_of(call): call for call in parse_calls(args.losses)}
    for call in calls.values():
        make_loss(call.name, {k: v for k, v in call.kwargs.items() if k != "lr"})
    names = ("steps", "trunk", "dim", "size", "max_size", "n_test", "lr", "precision")
    results = load_results(args.json, {name: getattr(args, name) for name in names})

    begin = time.perf_counter()
    photos = ImageListLabels(args.photos / "labels.txt", args.photos / "jpg")
    small = shrink(photos, args.cache / str(args.max_size), args.max_size)
    seen, unseen = split(small, n_test_photos=args.n_test)
    print(
        f"{len(seen)} photos of {len(set(seen.labels))} landmarks to train on, {len(unseen)} of "
        f"{len(set(unseen.labels))} to test on; ready after {time.perf_counter() - begin:.0f} s",
        flush=True,
    )
    with reuse_memory():
        net = off_the_shelf(args.weights, args.trunk)
        start = with_projection(net, learn_whitening(net, seen, args.dim))
        results["start"] = results["start"] or score(start, unseen)
        print(f"start: {results['start']} mAP", flush=True)
        for seed in args.seeds:
            for name, call in calls.items():
                by_seed = results["mAP"].setdefault(name, {})
                if str(seed) in by_seed:
                    continue
                before = time.perf_counter()
                print(f"{name}, seed {seed}:", end="", flush=True)
                trained = train_with(start, seen, call, seed, args)
                minutes = (time.perf_counter() - before) / 60
                by_seed[str(seed)] = score(trained, unseen)
                print(f", {by_seed[str(seed)]} mAP, {minutes:.1f} minutes", flush=True)
                if args.json:
                    args.json.write_text(json.dumps(results, indent=1))
    print_table(results, [*calls])


def str_of(call: Call) -> str:
    "Write a call as text."
    options = ", ".join(f"{name}={value!r}" for name, value in call.kwargs.items())
    return f"{call.name}({options})" if options else call.name


if __name__ == "__main__":
    main()
