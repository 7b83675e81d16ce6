"""The small network on drawn landmarks: listwise AP against mined and all triplets (baselines).

    python benchmarks/toy.py [--seeds 0 1 2] [--losses triplet all_triplets ap] [--steps 300]
        [--json nbs/fixtures/toy_training.json]

All trainings see the same number of photos, and there is one for each seed. Printed is the mAP on
the test landmarks: plain, whitened by the train landmarks (power .25), and with query expansion on
top; mean and spread over seeds. The untrained network comes first. Results that --json holds
already are kept and not computed again.

All options are those that `deepir_train` uses by default, except for mined triplets: their learning
rate is 1e-3, and their negatives are the hardest of 16 random photos. The defaults suit networks
that already know something; with them, seed 0 ended at 8.6 medium mAP. A training takes about five
minutes on two cores.
"""

import argparse
import json
import statistics
from pathlib import Path

from deepir.cli.train import read_train_args
from deepir.core import reuse_memory, seeded
from deepir.datasets import Dataset, load_dataset
from deepir.eval import Report, evaluate, evaluate_descriptors, postprocess
from deepir.features import extract
from deepir.nets import RetrievalNet, create_model
from deepir.train import train
from deepir.whiten import Whitening

UNTRAINED = "untrained"
STEPS = ("plain", "whitened", "expanded")
CHANGED_OPTIONS = {"triplet": {"lr": 1e-3, "among": 16}}  # by loss, instead of the defaults


def percent(mAP: dict[str, float]) -> dict[str, float]:
    "Round mAP to hundredths of a percent."
    return {mode: round(100 * value, 2) for mode, value in mAP.items()}


def score(net: RetrievalNet, photos: Dataset, val: Dataset) -> dict[str, dict[str, float]]:
    "Return the mAP of a network in percent, step by step; whitening is learned on `photos`."
    report = evaluate(val, net, whiten="none", progress=False)
    desc = extract(photos, net, progress=False, max_size=None, whiten=None).desc
    whitening = Whitening.fit(desc, power=0.25)

    def after(**steps) -> Report:
        return evaluate_descriptors(val, *postprocess(report.queries, report.db, **steps))

    reports = (report, after(whiten=whitening), after(whiten=whitening, aqe=(5, 3)))
    return {step: percent(report.mAP) for step, report in zip(STEPS, reports)}


def train_and_score(loss: str, seed: int, options: dict, photos: Dataset, val: Dataset) -> dict:
    "Train the small network and return a row of results."
    with seeded(seed):
        net = create_model("tiny", 128)
    curve = {}
    if loss != UNTRAINED:
        options = {**options, **CHANGED_OPTIONS.get(loss, {}), "seed": seed, "loss": loss}
        history = train(net, photos, val, eval_every=50, **options)
        curve = {step: percent(mAP) for step, mAP in history.mAP.items()}
    return {"loss": loss, "seed": seed, "curve": curve, **score(net, photos, val)}


def print_summary(rows: list[dict], losses: list[str]) -> None:
    "Print mean and spread of the medium mAP over seeds."
    print(f"{'medium mAP, %':16}" + "".join(f"{step:>14}" for step in STEPS))
    for loss in losses:
        cells = []
        for step in STEPS:
            values = [row[step]["medium"] for row in rows if row["loss"] == loss]
            cells.append(f"{statistics.mean(values):8.1f} ± {statistics.pstdev(values):3.1f}")
        print(f"{loss:16}" + "".join(cells))


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--losses", nargs="+", default=["triplet", "all_triplets", "ap"])
    p.add_argument("--steps", type=int, help="of a training (default: that of deepir_train)")
    p.add_argument("--json", type=Path, help="file to add the results to")
    args = p.parse_args()
    losses = [UNTRAINED, *args.losses]
    _, options = read_train_args(["--arch", "tiny"])
    if args.steps:
        options["steps"] = args.steps
    photos, val = load_dataset("ToyLandmarks('train')"), load_dataset("ToyLandmarks")
    rows = json.loads(args.json.read_text()) if args.json and args.json.exists() else []
    done = {(row["loss"], row["seed"]) for row in rows}
    for seed in args.seeds:
        for loss in losses:
            if (loss, seed) in done:
                continue
            with reuse_memory():
                row = train_and_score(loss, seed, options, photos, val)
            rows.append(row)
            print(row, flush=True)
            if args.json:
                args.json.write_text(json.dumps(rows, indent=0))
    print_summary(rows, losses)


if __name__ == "__main__":
    main()
