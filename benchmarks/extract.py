"""Extraction in float32 and bf16 against the original or, without it, a plain loop (baselines).

    python benchmarks/extract.py PHOTOS [--original CHECKOUT] [--sample 200] [--times 4]
        [--repeat 3] [--device cuda]
    python benchmarks/extract.py PHOTOS --flat 5000

PHOTOS is a folder, CHECKOUT a clone of the original; what no longer runs in it is patched in this
process only. The network is ResNet50-GeM with a projection to 2048 dimensions and random weights,
and photos have their own size. The plain loop describes one photo after the other.

The baseline runs first, then deepir, in one process. Printed are the median milliseconds a photo,
their ratio, and how the descriptors agree; then, for each precision, where the time goes, and how
fast the network computes in comparison to a matrix product, which is the peak of the machine.

With --flat, the photos are described over and over by the small network, so many in all, and the
resident memory is printed at photo 2000 and at the last one. It should stay the same.
"""

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from deepir.core import evaluating, reuse_memory, seeded
from deepir.datasets import Dataset, ImageFolder, Subset
from deepir.extractor import batch_size_for, batches
from deepir.features import extract
from deepir.images import normalize, to_pixels, to_tensor
from deepir.inference import for_inference, precisions
from deepir.nets import RetrievalNet, create_model

PRECISIONS = ("float32", "bf16")
# Modules of a `RetrievalNet` and what the original calls them.
ORIGINAL_NAMES = {"trunk.": "", "pooling.": "adpool.", "projection.": "fc."}


def random_network() -> RetrievalNet:
    "Return ResNet50-GeM with random weights, and batch norms that differ from the identity."
    with seeded(0):
        net = create_model("resnet50_rmac", out_dim=2048).eval()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.02)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.data.uniform_(0.5, 1.0)
    return net


def original(checkout: Path, net: RetrievalNet, photos: Dataset, device: str) -> Callable:
    "Return a function that describes photos by the original's code, with the same weights."
    Image.ANTIALIAS, np.bool8, np.float = Image.LANCZOS, np.bool_, float
    os.environ.setdefault("DB_ROOT", ".")
    sys.path.insert(0, str(checkout))
    from dirtorch import nets
    from dirtorch.datasets.generic import ImageList
    from dirtorch.test_dir import extract_image_features

    theirs = nets.create_model("resnet50_rmac", out_dim=2048)
    weights = {}
    for name, weight in net.state_dict().items():
        part = next(part for part in ORIGINAL_NAMES if name.startswith(part))
        weights[ORIGINAL_NAMES[part] + name.removeprefix(part)] = weight
    theirs.load_state_dict(weights)
    theirs.iscuda = device == "cuda"
    theirs.to(device)
    images = ImageList("", root=str(photos.root), imgs=photos.keys)
    options = {"iscuda": theirs.iscuda, "threads": 8, "batch_size": 16}
    return lambda: extract_image_features(images, "", theirs, **options).cpu()


def plain_loop(net: RetrievalNet, photos: Dataset, device: str) -> Callable:
    "Return a function that describes one photo after the other."

    def run() -> Tensor:
        net.to(device)
        with evaluating(net):
            tensors = (to_tensor(photos.open(i))[None].to(device) for i in range(len(photos)))
            desc = torch.cat([net(x).cpu() for x in tensors])
        net.to("cpu")
        return desc

    return run


def deepir(net: RetrievalNet, photos: Dataset, device: str, precision: str) -> Callable:
    "Return a function that describes photos by deepir."
    settings = {"max_size": None, "device": device, "precision": precision}

    def run() -> Tensor:
        with reuse_memory():
            return extract(photos, net, progress=False, **settings).desc

    return run


class Timed(NamedTuple):
    "The result of a function, and the time that it took."

    seconds: float
    result: object


def timed(function: Callable, repeat: int = 1) -> Timed:
    "Call a function repeatedly; return the median time and the last result."
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return Timed(statistics.median(times), result)


def network_seconds(net: RetrievalNet, inputs: list[Tensor], device: str, precision: str) -> float:
    "Return the time of the prepared network alone, on batches that are ready."
    prepared = for_inference(net, device, precision)

    def run() -> None:
        with torch.inference_mode():
            desc = [prepared(x) for x in inputs]
            desc[-1].cpu()  # waits for a GPU

    run()
    return min(timed(run).seconds for _ in range(2))


def count_flops(net: RetrievalNet, inputs: list[Tensor], device: str) -> int:
    "Return the number of floating-point operations of the network on all batches."
    net.to(device)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        for x in inputs:
            net(x)
    net.to("cpu")
    return counter.get_total_flops()


def peak_flops(device: str, precision: str, n: int = 4096) -> float:
    "Return the operations per second of a large matrix product."
    a = torch.randn(n, n, device=device, dtype=precisions[precision])

    def product() -> float:
        return (a @ a)[0, 0].item()

    product()
    return 2 * n**3 / min(timed(product).seconds for _ in range(3))


def print_where_time_goes(
    net: RetrievalNet, photos: Dataset, device: str, precision: str, total: float
) -> None:
    "Print the time of each part of extraction on its own; `total` is the time of all, in seconds."
    decode = timed(lambda: [photos.open(i) for i in range(len(photos))]).seconds
    with reuse_memory():
        pixels = ((i, to_pixels(photos.open(i))) for i in range(len(photos)))
        grouped = batches(pixels, batch_size_for(device))
        inputs = [normalize(x.to(device)) for _, x in grouped]
        network = network_seconds(net, inputs, device, precision)
        speed = count_flops(net, inputs, device) / network
        peak = peak_flops(device, precision)
    parts = {"decode": decode, "network": network, "everything": total}
    decode_ms, network_ms, total_ms = (1e3 * s / len(photos) for s in parts.values())
    print(
        f"{precision}, ms a photo: decoding {decode_ms:.1f} (ahead, in threads), "
        f"network {network_ms:.1f}, everything {total_ms:.1f}, so waiting and the rest "
        f"{total_ms - network_ms:.1f}; network {speed / 1e9:.0f} GFLOP/s, "
        f"matrix product {peak / 1e9:.0f} GFLOP/s"
    )


def compare(photos: Dataset, args: argparse.Namespace) -> None:
    "Print time and agreement of baseline and deepir, then where the time goes."
    net, device = random_network(), args.device
    # The baseline comes first, because `reuse_memory` leaves traces in glibc's allocator.
    if args.original:
        ways = {"the original": original(args.original, net, photos, device)}
    else:
        ways = {"a plain loop": plain_loop(net, photos, device)}
    baseline = next(iter(ways))
    for precision in PRECISIONS:
        ways[f"deepir {precision}"] = deepir(net, photos, device, precision)
    sizes = {photos.open(i).size for i in range(len(photos))}
    threads = torch.get_num_threads()
    print(f"{len(photos)} photos, {len(sizes)} sizes, {threads} threads, {device}", flush=True)
    results = {}
    for name, way in ways.items():
        results[name] = seconds, desc = timed(way, args.repeat)
        base_seconds, base_desc = results[baseline]
        cosine = (desc * base_desc).sum(1)
        print(
            f"{name:16}{1e3 * seconds / len(photos):9.1f} ms a photo"
            f"{base_seconds / seconds:7.2f} times the speed of {baseline}; descriptors differ by "
            f"{(desc - base_desc).abs().max():.1e}, smallest cosine {cosine.min():.6f}",
            flush=True,
        )
    for precision in PRECISIONS:
        total = results[f"deepir {precision}"].seconds
        print_where_time_goes(net, photos, device, precision, total)


def resident_memory() -> float:
    "Return the memory that this process has now, in MB; Linux only."
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


class WatchedPhotos(Dataset):
    "Photos that note the memory of the process when every 500th is opened."

    def __init__(self, photos: Dataset, n: int):
        super().__init__(list(np.resize(photos.keys, n)), photos.root)
        self.memory = {}

    def open(self, i: int) -> Image.Image:
        if i % 500 == 0:
            self.memory[i] = resident_memory()
        return super().open(i)


def print_memory(photos: Dataset, n: int) -> None:
    "Print the resident memory during a long extraction."
    watched = WatchedPhotos(photos, n)
    net = create_model("tiny", 128)
    with tempfile.TemporaryDirectory() as store, reuse_memory():
        extract(watched, net, store, trfs="Scale(0.25)", max_size=None)
    begin = min(2000, n // 4)
    memory = {i: mb for i, mb in watched.memory.items() if i >= begin}
    first, last = min(memory), max(memory)
    print(
        f"resident memory: {memory[first]:.0f} MB at photo {first}, {memory[last]:.0f} MB at photo "
        f"{last}, at most {max(memory.values()):.0f} MB"
    )


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("photos", type=Path)
    p.add_argument("--original", type=Path, help="a clone of the original")
    p.add_argument("--sample", type=int, default=0, help="take so many of the photos; 0: all")
    p.add_argument("--times", type=int, default=1, help="describe each photo so many times")
    p.add_argument("--repeat", type=int, default=3, help="runs, of which the median counts")
    p.add_argument("--device", default="cpu")
    p.add_argument("--flat", type=int, default=0, help="watch memory while so many are described")
    args = p.parse_args()
    photos = ImageFolder(args.photos)
    if args.flat:
        print_memory(photos, args.flat)
        return
    if args.sample:
        sample = np.random.default_rng(0).permutation(len(photos))[: args.sample]
        photos = Subset(photos, np.sort(sample))
    if args.times > 1:
        photos = Dataset(list(photos.keys) * args.times, photos.root)
    compare(photos, args)


if __name__ == "__main__":
    main()
