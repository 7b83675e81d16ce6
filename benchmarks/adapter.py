"""An adapter against whitening on frozen descriptors of real photos; its time and memory on disk.

    python benchmarks/adapter.py quality PHOTOS WEIGHTS [--max-size 320] [--seeds 0 1 2]
        [--store FOLDER]
    python benchmarks/adapter.py scale [--n 1000000] [--dim 512] [--classes 10000] [--epochs 1]

`quality`: PHOTOS is a folder with `labels.txt` ('path label' lines; paths are below `jpg/`),
WEIGHTS a folder with `mobilenet_v2-features-fp16.pth`. MobileNetV2 from ImageNet with GeM describes
all photos once; --store keeps the descriptors. Whitenings and adapters are learned on 30 landmarks,
drawn by seed 0, and tested on 500 photos of the 11 others, each a query for the rest. Printed is
the mAP in percent (finite sum) for several sizes of the adapter, with the standard deviation over
seeds, and for 3, 10 and 30 epochs.

`scale`: descriptors of random photos are written to a temporary file, with labels in blocks as a
folder of photos would have them. Printed are the time, and the peak memory of the process before
and after.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from landmarks import off_the_shelf, split
from measure import peak_memory, write_random_descriptors
from torch import Tensor

from deepir.adapter import fit_adapter
from deepir.core import reuse_memory
from deepir.datasets import Dataset, ImageListLabels, Subset
from deepir.eval import evaluate_descriptors
from deepir.extractor import Extractor
from deepir.store import Rows
from deepir.whiten import Whitening


def describe(extractor: Extractor, photos: Dataset, store: Path | None) -> tuple[Dataset, Tensor]:
    "Describe photos; return those that could be read, and their descriptors."
    features = extractor.extract(photos, store, on_error="skip", progress=False)
    readable = set(features.keys)
    kept = Subset(photos, [i for i, key in enumerate(photos.keys) if key in readable])
    return kept, features.desc[:]


def random_pairs(labels: list, per_landmark: int = 300) -> list[tuple[int, int]]:
    "Draw pairs of photos of one landmark."
    rng = np.random.default_rng(0)
    labels = np.array(labels)
    pairs = []
    for label in np.unique(labels):
        photos = np.flatnonzero(labels == label)
        pairs += [tuple(rng.choice(photos, 2, replace=False)) for _ in range(per_landmark)]
    return pairs


def measure_quality(args: argparse.Namespace) -> None:
    "Compare whitenings and adapters."
    photos = split(ImageListLabels(args.photos / "labels.txt", args.photos / "jpg"))
    extractor = Extractor(off_the_shelf(args.weights), max_size=args.max_size, whiten=None)
    with reuse_memory():
        stores = (args.store / "train", args.store / "test") if args.store else (None, None)
        seen, train_desc = describe(extractor, photos.train, stores[0])
        unseen, test_desc = describe(extractor, photos.test, stores[1])
    print(f"{len(seen)} photos to learn from, {len(unseen)} to test on")

    def score(desc: Tensor) -> float:
        return 100 * evaluate_descriptors(unseen, desc, desc).mAP["mAP"]

    print(f"{'as they are':34}{score(test_desc):6.1f}")
    for dim in (128, 512):
        whitening = Whitening.fit(train_desc, dim=dim)
        for power in (0.0, 0.25, 0.5):
            name = f"whitening, power {power:g}, {dim}-d"
            print(f"{name:34}{score(whitening(test_desc, p=power)):6.1f}")
    of_pairs = Whitening.fit_pairs(train_desc, random_pairs(seen.labels), dim=512)
    print(f"{'whitening from pairs, 512-d':34}{score(of_pairs(test_desc)):6.1f}")
    for dim, epochs in ((128, 10), (512, 3), (512, 10), (512, 30)):
        begin, scores = time.perf_counter(), []
        for seed in args.seeds:
            options = dict(dim=dim, epochs=epochs, seed=seed, progress=False)
            scores.append(score(fit_adapter(train_desc, seen.labels, **options)(test_desc)))
        seconds = (time.perf_counter() - begin) / len(scores)
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        name = f"adapter, {dim}-d, {epochs} epochs"
        mean = statistics.mean(scores)
        print(f"{name:34}{mean:6.1f} ± {spread:.1f}   {seconds:.0f} s", flush=True)


def measure_scale(args: argparse.Namespace) -> None:
    "Measure an epoch on many descriptors on disk."
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/descriptors.npy"
        write_random_descriptors(path, args.n, args.dim)
        labels = np.arange(args.n) * args.classes // args.n
        before, begin = peak_memory(), time.perf_counter()
        fit_adapter(Rows(path), labels, epochs=args.epochs, device="cpu", progress=args.progress)
        seconds = time.perf_counter() - begin
    print(
        f"{args.n} x {args.dim}, {args.classes} landmarks, {args.epochs} epochs, {args.threads} "
        f"threads: {seconds:.0f} s; the process had {before:.0f} MB before, and "
        f"{peak_memory():.0f} MB at most"
    )


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = p.add_subparsers(dest="command", required=True)
    quality = commands.add_parser("quality")
    quality.add_argument("photos", type=Path)
    quality.add_argument("weights", type=Path)
    quality.add_argument("--max-size", type=int, default=320, help="longer side of a photo, pixels")
    quality.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    quality.add_argument("--store", type=Path, help="folder to keep the descriptors in")
    scale = commands.add_parser("scale")
    scale.add_argument("--n", type=int, default=1_000_000)
    scale.add_argument("--dim", type=int, default=512)
    scale.add_argument("--classes", type=int, default=10_000)
    scale.add_argument("--epochs", type=int, default=1)
    scale.add_argument("--threads", type=int, default=2)
    scale.add_argument("--progress", action="store_true")
    args = p.parse_args()
    {"quality": measure_quality, "scale": measure_scale}[args.command](args)


if __name__ == "__main__":
    main()
