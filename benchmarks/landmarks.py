"""Real photos: off the shelf (baseline) against training with mined triplets, all triplets, and AP.

    python benchmarks/landmarks.py PHOTOS WEIGHTS [--losses triplet all_triplets ap] [--steps 100]
        [--size 224] [--lr 5e-5] [--precision bf16] [--seed 0] [--json results.json]

PHOTOS is a folder with `labels.txt` ('path label' lines; paths are below `jpg/`), WEIGHTS a folder
with `mobilenet_v2-features-fp16.pth`. The networks are trained on 30 landmarks, drawn by seed 0,
and all trainings see the same number of photos. They are tested on 500 photos of the 11 other
landmarks, each a query for the others, at their own size. Printed is the mAP in percent (finite
sum), plain and with a whitening (power .25) that was learned on the 30 landmarks.

As Gordo et al. do, training begins with a projection that whitens. It is learned on the same 30
landmarks, from the network off the shelf.
"""

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torchvision

from deepir.core import reuse_memory
from deepir.datasets import Dataset, ImageListLabels, Subset
from deepir.eval import evaluate, evaluate_descriptors, postprocess
from deepir.features import extract
from deepir.nets import RetrievalNet
from deepir.pooling import GeM
from deepir.train import History, train
from deepir.whiten import Whitening


class Split(NamedTuple):
    "Photos of different landmarks."

    train: Dataset
    test: Dataset


class Score(NamedTuple):
    "The mAP of a network in percent, and the whitening that was used."

    plain: float
    whitened: float
    whitening: Whitening


def split(photos: Dataset, n_landmarks: int = 30, n_test_photos: int = 500) -> Split:
    "Take all photos of some landmarks to train on and some photos of the others to test on."
    rng = np.random.default_rng(0)
    landmarks = set(rng.permutation(sorted(set(photos.labels)))[:n_landmarks])
    is_train = np.array([label in landmarks for label in photos.labels])
    test = rng.permutation(np.flatnonzero(~is_train))[:n_test_photos]
    return Split(Subset(photos, np.flatnonzero(is_train)), Subset(photos, np.sort(test)))


def off_the_shelf(weights: Path, name: str = "mobilenet_v2") -> RetrievalNet:
    "Return a network from ImageNet, with GeM whose power is learned and without a projection."
    trunk = getattr(torchvision.models, name)().features
    file = weights / f"{name}-features-fp16.pth"
    trunk.load_state_dict(torch.load(file, weights_only=True))
    return RetrievalNet(trunk, GeM(3.0))


def learn_whitening(net: RetrievalNet, photos: Dataset, dim: int, most: int = 1500) -> Whitening:
    "Learn a whitening on some of the photos."
    sample = np.sort(np.random.default_rng(1).permutation(len(photos))[:most])
    features = extract(
        Subset(photos, sample), net, on_error="skip", progress=False, max_size=None, whiten=None
    )
    return Whitening.fit(features.desc, dim=dim, power=0.25)


def with_projection(net: RetrievalNet, whitening: Whitening) -> RetrievalNet:
    "Give a network a projection that whitens its descriptors, as a start for training."
    weight = whitening.as_linear(torch.float64).weight.detach()
    # Its scale has no effect on descriptors, but training needs weights of ordinary size.
    scale = float(weight.norm()) / len(weight) ** 0.5
    net.norm_pooled = True
    net.projection = whitening.replace(multiplier=whitening.multiplier * scale).as_linear()
    return net


def score(net: RetrievalNet, photos: Split, dim: int = 512) -> Score:
    "Measure a network, plain and whitened."
    report = evaluate(photos.test, net, whiten="none", progress=False)
    whitening = learn_whitening(net, photos.train, dim)
    queries, db = postprocess(report.queries, report.db, whitening)
    whitened = evaluate_descriptors(photos.test, queries, db)
    plain, whitened = (round(100 * r.mAP["mAP"], 2) for r in (report, whitened))
    return Score(plain, whitened, whitening)


def train_on(net: RetrievalNet, photos: Dataset, loss: str, args: argparse.Namespace) -> History:
    "Train a network with one of the losses."
    crop = f"RandomResizedCrop({args.size}, scale=(.25, 1))"
    return train(
        net,
        photos,
        loss=loss,
        steps=args.steps,
        p=16,
        k=8,
        chunk=32,
        trfs=f"{crop}, ColorJitter(.3, .3, .3)",
        lr=args.lr,
        warmup=10,
        precision=args.precision,
        mine_every=25,
        mine_from=600,
        seed=args.seed,
    )


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("photos", type=Path)
    p.add_argument("weights", type=Path)
    p.add_argument("--losses", nargs="+", default=["triplet", "all_triplets", "ap"])
    p.add_argument("--steps", type=int, default=100)
    p.add_argument("--size", type=int, default=224)
    p.add_argument("--lr", type=float, default=5e-5)
    p.add_argument("--precision", default="bf16")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--json", type=Path, help="file to write the results to")
    args = p.parse_args()
    photos = split(ImageListLabels(args.photos / "labels.txt", args.photos / "jpg"))
    print(
        f"{len(photos.train)} photos of {len(set(photos.train.labels))} landmarks to train on, "
        f"{len(photos.test)} of {len(set(photos.test.labels))} to test on"
    )
    begin = time.perf_counter()
    with reuse_memory():
        baseline = score(off_the_shelf(args.weights), photos)
        scores = {"off the shelf": baseline}
        print(f"off the shelf: {baseline.plain} plain, {baseline.whitened} whitened", flush=True)
        for loss in args.losses:
            start = time.perf_counter()
            net = with_projection(off_the_shelf(args.weights), baseline.whitening)
            history = train_on(net, photos.train, loss, args)
            minutes = (time.perf_counter() - start) / 60
            scores[loss] = score(net, photos)
            print(
                f"{loss}: {minutes:.1f} minutes, loss {np.mean(history.loss[:10]):.3f} to "
                f"{np.mean(history.loss[-10:]):.3f}, GeM's power {history.p[-1]:.2f}; "
                f"{scores[loss].plain} plain, {scores[loss].whitened} whitened",
                flush=True,
            )
    print(f"{(time.perf_counter() - begin) / 60:.1f} minutes in all")
    print(f"{'mAP, %':16}{'plain':>8}{'whitened':>10}")
    for name, result in scores.items():
        print(f"{name:16}{result.plain:8.1f}{result.whitened:10.1f}")
    if args.json:
        results = {name: [result.plain, result.whitened] for name, result in scores.items()}
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
