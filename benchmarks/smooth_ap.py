"""Smooth-AP and recall at k against the formula of Smooth-AP written down directly (baseline).

    python benchmarks/smooth_ap.py [--small 256] [--large 4096] [--photos 8] [--dim 512]
        [--threads 2]

The formula compares every photo with every photo for every query, which takes N x N x N numbers.
It runs on a small batch, forward and backward, and so do `SmoothAPLoss` and `RecallAtKLoss`. These
two then run on a large batch, called with scores and called with descriptors, and so does
`ArcFaceLoss` with 10,000 landmarks. There are --photos photos of each landmark. Printed are seconds
and peak memory above the batch itself, and the largest differences between the losses and the
gradients of formula and `SmoothAPLoss` in float64.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from ap_loss import print_differences, step
from measure import measure, print_table
from torch import Tensor, nn

from deepir.core import l2_normalize
from deepir.losses import ArcFaceLoss, RecallAtKLoss, SmoothAPLoss, relevance

TEMPERATURE = 0.01


class Batch(NamedTuple):
    "Scores and their labels, or descriptors and theirs."

    x: Tensor  # (N, N) or (N, D), with a gradient
    labels: Tensor  # (N, N) or (N,)


def random_descriptors(n: int, photos: int, dim: int, dtype: torch.dtype = torch.float32) -> Batch:
    "Return noisy descriptors of random landmarks."
    torch.manual_seed(0)
    labels = torch.arange(n) // photos
    centres = torch.randn(n // photos + 1, dim, dtype=dtype)
    desc = l2_normalize(centres[labels] + 1.5 * torch.randn(n, dim, dtype=dtype))
    return Batch(desc.requires_grad_(), labels)


def random_scores(n: int, photos: int, dim: int, dtype: torch.dtype = torch.float32) -> Batch:
    "Return the similarities of these descriptors."
    desc, labels = random_descriptors(n, photos, dim, dtype)
    scores = (desc @ desc.T).detach().requires_grad_()
    scores.grad = torch.zeros_like(scores)
    return Batch(scores, relevance(labels))


def formula(scores: Tensor, labels: Tensor) -> Tensor:
    "Compute Smooth-AP by its formula: every photo against every photo, for each query."
    others = (labels >= 0)[:, None] & ~torch.eye(scores.shape[1], dtype=torch.bool)
    above = torch.sigmoid((scores[:, None] - scores[:, :, None]) / TEMPERATURE) * others
    is_relevant = labels > 0
    rank_of_relevant = 1 + (above * is_relevant[:, None]).sum(2)
    precision = rank_of_relevant / (1 + above.sum(2))
    return 1 - ((precision * is_relevant).sum(1) / is_relevant.sum(1)).mean()


def step_with_centres(batch: Batch, dim: int) -> None:
    "Compute ArcFace and its gradient."
    step(batch, ArcFaceLoss(10_000, dim))


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--small", type=int, default=256)
    p.add_argument("--large", type=int, default=4096)
    p.add_argument("--photos", type=int, default=8)
    p.add_argument("--dim", type=int, default=512)
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    sizes = args.small, args.large
    scores = {n: partial(random_scores, n, args.photos, args.dim) for n in sizes}
    desc = {n: partial(random_descriptors, n, args.photos, args.dim) for n in sizes}
    smooth, recall = SmoothAPLoss(TEMPERATURE), RecallAtKLoss()
    options = {"repeats": 1, "threads": args.threads}

    def run(prepare: Callable, loss: nn.Module | Callable):
        return measure(prepare, partial(step, loss=loss), **options)

    small, large = args.small, args.large
    rows = {
        f"formula, {small} x {small} scores": run(scores[small], formula),
        f"SmoothAPLoss, {small} x {small} scores": run(scores[small], smooth),
        f"RecallAtKLoss, {small} x {small} scores": run(scores[small], recall),
        f"SmoothAPLoss, {large} x {large}": run(scores[large], smooth),
        f"RecallAtKLoss, {large} x {large}": run(scores[large], recall),
        f"SmoothAPLoss, {large} descriptors": run(desc[large], smooth),
        f"RecallAtKLoss, {large} descriptors": run(desc[large], recall),
        f"ArcFaceLoss, {large} descriptors": measure(
            desc[large], partial(step_with_centres, dim=args.dim), **options
        ),
    }
    print_table(rows)
    batch = random_scores(small, args.photos, args.dim, torch.float64)
    print_differences(*batch, formula, smooth)


if __name__ == "__main__":
    main()
