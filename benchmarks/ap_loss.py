"""The AP loss against its formula written down directly (baseline), forward and backward.

    python benchmarks/ap_loss.py [--size 2048] [--large 8192] [--repeats 5]

The formula compares every score with every bin. `APLoss` finds the two bins of each score. Both run
on size x size scores and 20 bins. Printed are median seconds and peak memory of both, their ratios,
the time and memory of `APLoss` alone on large x large scores, and the largest differences between
the losses and the gradients of the two in float64.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from measure import measure, print_table
from torch import Tensor

from deepir.losses import APLoss

BINS = 20


class Batch(NamedTuple):
    "Similarities of photos to each other, and which of them show the same landmark."

    scores: Tensor  # (N, N), with a gradient
    labels: Tensor  # (N, N), bool


def random_batch(n: int, dtype: torch.dtype = torch.float32) -> Batch:
    "Return random scores of photos with about eight photos of each landmark."
    torch.manual_seed(0)
    scores = torch.rand(n, n, dtype=dtype).requires_grad_()
    scores.grad = torch.zeros_like(scores)
    landmarks = torch.randint(n // 8, (n,))
    return Batch(scores, landmarks[:, None] == landmarks)


def dense(scores: Tensor, labels: Tensor) -> Tensor:
    "Compute the loss by its formula: every score against every bin."
    centres = torch.linspace(1, 0, BINS, dtype=scores.dtype)
    distance = (scores.clamp(0, 1)[..., None] - centres).abs() * (BINS - 1)
    share = (1 - distance).clamp(min=0)  # (N, N, bins)
    count = share.sum(1)
    relevant = (share * labels[..., None]).sum(1)
    precision = relevant.cumsum(1) / (1e-16 + count.cumsum(1))
    recall_step = relevant / relevant.sum(1, keepdim=True)
    return 1 - (precision * recall_step).sum(1).mean()


def deepir(scores: Tensor, labels: Tensor) -> Tensor:
    "Compute the same loss with `APLoss`."
    return APLoss(BINS)(scores, labels)


def step(batch: Batch, loss: Callable) -> None:
    "Compute a loss and its gradient."
    loss(*batch).backward()


def print_differences(scores: Tensor, labels: Tensor, formula: Callable, loss: Callable) -> None:
    "Compare two losses and their gradients, of scores in float64."
    losses = [f(scores, labels) for f in (formula, loss)]
    gradients = [torch.autograd.grad(value, scores)[0] for value in losses]
    difference = abs(losses[0] - losses[1]).item()
    gradient_difference = (gradients[0] - gradients[1]).abs().max().item()
    print(
        f"float64, {len(scores)} x {len(scores)}: losses differ by {difference:.0e}, "
        f"gradients by {gradient_difference:.0e}"
    )


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--size", type=int, default=2048)
    p.add_argument("--large", type=int, default=8192)
    p.add_argument("--repeats", type=int, default=5)
    args = p.parse_args()
    n, large = args.size, args.large
    baseline = measure(partial(random_batch, n), partial(step, loss=dense), args.repeats)
    ours = measure(partial(random_batch, n), partial(step, loss=deepir), args.repeats)
    alone = measure(partial(random_batch, large), partial(step, loss=deepir), repeats=1)
    print_table(
        {
            f"formula, {n} x {n}": baseline,
            f"APLoss, {n} x {n}": ours,
            f"APLoss, {large} x {large}": alone,
        }
    )
    print(
        f"APLoss is {baseline.seconds / ours.seconds:.1f} times faster and needs "
        f"{baseline.mb / ours.mb:.1f} times less memory above the batch itself"
    )
    print_differences(*random_batch(256, torch.float64), dense, deepir)
    scores_mb = 2 * large**2 * 4 / 1e6
    print(
        f"{large} x {large}: scores and their gradient take {scores_mb:.0f} MB, "
        f"the loss {alone.mb:.0f} MB more"
    )


if __name__ == "__main__":
    main()
