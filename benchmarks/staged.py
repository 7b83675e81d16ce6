"""Backpropagation in three stages against backpropagation of the whole batch at once (baseline).

    python benchmarks/staged.py [--small 256] [--large 4096] [--repeats 3] [--loss ap]

A training step of the small network with a ranking loss, or another loss of descriptors and labels
such as "arcface(n_classes=512, dim=128)", on photos of 96 x 96 pixels in chunks of 64.
Printed are median seconds and peak memory of both ways on a small batch, which fits into memory
either way, those of the staged way on a large batch, their ratios from the same run, and the
largest difference between the gradients of the two ways in float64. The staged way is measured
before and after the other, and the better time counts.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial

import torch
from measure import measure, print_table
from torch import Tensor, nn

from deepir.core import seeded
from deepir.losses import make_loss
from deepir.nets import create_model
from deepir.staged import freeze_batch_norm, staged_backward

CHUNK, SIZE = 64, 96


class Photos:
    "Chunks of random photos, made again each time they are asked for, as if read from files."

    def __init__(self, n: int, dtype: torch.dtype = torch.float32):
        self.n, self.dtype = n, dtype

    def __iter__(self) -> Iterator[Tensor]:
        for i in range(self.n // CHUNK):
            generator = torch.Generator().manual_seed(i)
            yield torch.rand(CHUNK, 3, SIZE, SIZE, generator=generator, dtype=self.dtype)


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    "Return the small network with random weights, ready to be trained."
    with seeded(0):
        net = create_model("tiny", 128).to(dtype).train()
    freeze_batch_norm(net)
    return net


def loss_of(desc: Tensor, loss: str) -> Tensor:
    "Compute the loss of a batch in which eight photos in a row show the same landmark."
    loss_fn = make_loss(loss).to(desc.dtype)
    return loss_fn(desc, torch.arange(len(desc)) // 8)


def staged(net: nn.Module, photos: Photos, loss: str) -> None:
    "Backpropagate chunk by chunk."
    staged_backward(net, photos, partial(loss_of, loss=loss))


def direct(net: nn.Module, photos: Photos, loss: str) -> None:
    "Backpropagate the whole batch."
    loss_of(torch.cat([net(x) for x in photos]), loss).backward()


def step(net: nn.Module, way: Callable, n: int, loss: str) -> None:
    "Compute the gradient of a batch of n photos."
    net.zero_grad()
    way(net, Photos(n), loss)


def print_difference(n: int, loss: str) -> None:
    "Compare the gradients of both ways in float64."
    net, gradients = network(torch.float64), []
    for way in (staged, direct):
        net.zero_grad()
        way(net, Photos(n, torch.float64), loss)
        learned = [p.grad.flatten() for p in net.parameters() if p.requires_grad]
        gradients.append(torch.cat(learned))
    difference = (gradients[0] - gradients[1]).abs().max().item()
    largest = gradients[1].abs().max().item()
    print(
        f"float64, {n} photos: gradients differ by {difference:.0e}, the largest is {largest:.0e}"
    )


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--small", type=int, default=256)
    p.add_argument("--large", type=int, default=4096)
    p.add_argument("--repeats", type=int, default=3)
    p.add_argument("--loss", default="ap", help="name of a loss, with options in brackets")
    args = p.parse_args()
    n, large, loss = args.small, args.large, args.loss
    first = measure(network, partial(step, way=staged, n=n, loss=loss), args.repeats)
    of_large = measure(network, partial(step, way=staged, n=large, loss=loss), repeats=1)
    baseline = measure(network, partial(step, way=direct, n=n, loss=loss), args.repeats)
    second = measure(network, partial(step, way=staged, n=n, loss=loss), args.repeats)
    print_table(
        {
            f"staged, {n} photos": first,
            f"staged, {large} photos": of_large,
            f"direct, {n} photos": baseline,
            f"staged, {n} photos, again": second,
        }
    )
    seconds = min(first.seconds, second.seconds)
    print(f"memory with {large} photos: {of_large.mb / first.mb:.2f} times that with {n}")
    print(
        f"with {n} photos: {seconds / baseline.seconds:.2f} times the time of the direct way, "
        f"{baseline.mb / first.mb:.1f} times less memory"
    )
    print_difference(128, loss)


if __name__ == "__main__":
    main()
