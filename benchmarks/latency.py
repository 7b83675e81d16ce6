"""A single photo: `Extractor.encode` and `Collection.search` against the bare network (baseline).

    python benchmarks/latency.py [--model mobilenet_v2] [--repeat 30] [--device cpu]

Photos are random, 96, 384 and 1024 pixels wide. The baseline is the network itself, in
evaluation mode, on a tensor that is ready. All are measured by turns in one process. Printed are
median milliseconds and ratios: of one photo, without and with reading its file, and of a query in a
folder of 1000 photos. Then 16 threads search at a time, and their answers and their speed are
compared with those of one thread.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from deepir.collection import Collection
from deepir.core import seeded
from deepir.extractor import Extractor
from deepir.images import normalize, to_pixels
from deepir.nets import create_model


def random_photo(width: int, seed: int = 0) -> Image.Image:
    "Draw a smooth random photo with sides 4:3."
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, width * 3 // 4), Image.Resampling.BICUBIC)


def median_ms(functions: dict, repeat: int) -> dict:
    "Call functions by turns and return the median milliseconds of each."
    times = {name: [] for name in functions}
    for _ in range(repeat):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(t) for name, t in times.items()}


def encode(extractor: Extractor, repeat: int) -> None:
    "Print what one photo costs, without and with reading its file."
    print("one photo, ms            network    encode            encode from a .jpg")
    for width in (96, 384, 1024):
        photo = random_photo(width)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "photo.jpg"
            photo.save(path)
            x = normalize(to_pixels(photo)[None]).to(extractor.device)

            def network(x=x):
                with torch.inference_mode():
                    extractor.net(x).cpu()

            functions = {
                "network": network,
                "encode": lambda photo=photo: extractor.encode(photo),
                "file": lambda path=path: extractor.encode(path),
            }
            for function in functions.values():
                function()
            ms = median_ms(functions, repeat)
        ratios = [f"{ms[name]:8.2f} ({ms[name] / ms['network']:.2f} times)" for name in functions]
        print(f"{width:5} px {' ' * 10}{ms['network']:8.2f}  {'  '.join(ratios[1:])}")


def search(extractor: Extractor, repeat: int, photos: int = 1000, width: int = 384) -> None:
    "Print what a query costs in an indexed folder, and what threads do."
    with tempfile.TemporaryDirectory() as folder:
        for i in range(photos):
            random_photo(64, seed=i).save(Path(folder) / f"{i:04}.jpg")
        collection = Collection(folder, extractor, progress=False)
        query = random_photo(width, seed=photos)
        x = normalize(to_pixels(query)[None]).to(extractor.device)

        def network():
            with torch.inference_mode():
                extractor.net(x).cpu()

        functions = {"network": network, "search": lambda: collection.search(query, k=10)}
        for function in functions.values():
            function()
        ms = median_ms(functions, repeat)
        ratio = ms["search"] / ms["network"]
        print(
            f"\na query of {width} px in {photos} photos: network {ms['network']:.2f} ms, "
            f"search {ms['search']:.2f} ms ({ratio:.2f} times)"
        )
        threads(collection)


def threads(collection: Collection, workers: int = 16, queries_each: int = 100) -> None:
    "Compare queries from many threads with the same queries one after the other."
    queries = [random_photo(96, seed=2000 + i) for i in range(queries_each)]
    start = time.perf_counter()
    alone = [collection.search(query, k=10) for query in queries]
    sequential = len(queries) / (time.perf_counter() - start)

    def worker(_):
        return [collection.search(query, k=10) for query in queries]

    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        answers = list(pool.map(worker, range(workers)))
    parallel = workers * len(queries) / (time.perf_counter() - start)
    wrong = sum(answer != alone for answer in answers)
    print(
        f"{workers} threads × {queries_each} queries: {wrong} threads got other answers; "
        f"{parallel:.0f} queries a second, one after the other {sequential:.0f}"
    )


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--model", default="mobilenet_v2")
    p.add_argument("--repeat", type=int, default=30)
    p.add_argument("--device", default="cpu")
    args = p.parse_args()
    with seeded(0):
        net = create_model(args.model).eval()
    extractor = Extractor(net, device=args.device)
    net.to(extractor.device)
    print(f"{args.model}, {torch.get_num_threads()} threads, {extractor.device}")
    encode(extractor, args.repeat)
    search(extractor, args.repeat)


if __name__ == "__main__":
    main()
