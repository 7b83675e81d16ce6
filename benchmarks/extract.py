"""Extraction: the original, or a plain loop where it is not at hand (baseline), against deepir in float32 and bf16.

    python benchmarks/extract.py PHOTOS [--original CHECKOUT] [--sample 200] [--times 4] [--repeat 3] [--device cuda]
    python benchmarks/extract.py oxford10 --flat 5000     memory at photo 2000 and at the last, tiny network

PHOTOS is a folder. CHECKOUT is a clone of the original; what no longer runs in it is patched in this process only.
ResNet50-GeM, 2048-d, weights by chance; photos at their own size. Baseline, then deepir, in one process; medians are printed, their ratio, how the descriptors agree, where the time goes, and how far the network is from the peak of a matrix product.
"""
import argparse, os, resource, statistics, sys, time
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from deepir.core import seed_everything
from deepir.datasets import Dataset, ImageFolder, Subset
from deepir.features import batch_size_for, batches, extract, photo_loader
from deepir.images import normalize, to_tensor
from deepir.inference import for_inference
from deepir.nets import create_model, evaluating


def network():
    "ResNet50-GeM with weights by chance, and batch norms that have seen something."
    seed_everything(0)
    net = create_model('resnet50_rmac', out_dim=2048).eval()
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d): m.running_mean.normal_(0, .02), m.running_var.uniform_(.5, 1.5), m.weight.data.uniform_(.5, 1.)
    return net


def original(checkout, net, photos, device):
    "The original's extraction of the same photos with the same weights."
    Image.ANTIALIAS, np.bool8, np.float = Image.LANCZOS, np.bool_, float
    os.environ.setdefault('DB_ROOT', '.')
    sys.path.insert(0, str(checkout))
    from dirtorch import nets
    from dirtorch.datasets.generic import ImageList
    from dirtorch.test_dir import extract_image_features
    theirs = nets.create_model('resnet50_rmac', out_dim=2048)
    names = {'pooling.': 'adpool.', 'projection.': 'fc.', 'trunk.': ''}
    theirs.load_state_dict({next(new + k.removeprefix(old) for old, new in names.items() if k.startswith(old)): v for k, v in net.state_dict().items()})
    theirs.iscuda = device == 'cuda'
    theirs.to(device)
    listed = ImageList('', root=str(photos.root), imgs=photos.keys)
    return lambda: extract_image_features(listed, '', theirs, iscuda=theirs.iscuda, threads=8, batch_size=16).cpu()


def plain_loop(net, photos, device):
    "One photo at a time."
    net = net.to(device)
    def run():
        with evaluating(net): return torch.cat([net(to_tensor(photos.open(i))[None].to(device)).cpu() for i in range(len(photos))])
    return run


def clock(f):
    start = time.perf_counter()
    out = f()
    return time.perf_counter() - start, out


def where_time_goes(net, photos, device, precision, total):
    "Seconds a photo of each part on its own, and the network against a matrix product."
    load = photo_loader(photos, [''])
    decode = clock(lambda: [photos.open(i) for i in range(len(photos))])[0]
    pixels = [(i, load(i)[0]) for i in range(len(photos))]
    fast = for_inference(net, device, precision)
    ready = [normalize(x.to(device)) for _, x in batches(pixels, batch_size_for(device))]
    def run():
        with torch.inference_mode(): return [fast(x) for x in ready][-1].cpu()
    run()
    network = min(clock(run)[0] for _ in range(2))
    with FlopCounterMode(display=False) as count, torch.inference_mode(): [net.to(device)(x) for x in ready]
    net.to('cpu')
    a = torch.randn(4096, 4096, device=device, dtype={'float32': torch.float32, 'bf16': torch.bfloat16}[precision])
    def product(): return (a @ a)[0, 0].item()
    product()
    peak = 2*4096**3/min(clock(product)[0] for _ in range(3))
    n = len(photos)
    print(f'{precision}, ms a photo: decode {1e3*decode/n:.1f} (ahead, in threads), network {1e3*network/n:.1f}, everything {1e3*total/n:.1f}, so waiting and the rest {1e3*(total - network)/n:.1f}; '
          f'network {count.get_total_flops()/network/1e9:.0f} GFLOP/s, matrix product {peak/1e9:.0f}')


def flat(photos, n):
    "Resident memory during a long extraction."
    many = Dataset(list(np.resize(photos.keys, n)), photos.root)
    seen = {}
    class Watched(Dataset):
        def open(self, i):
            if i%500 == 0: seen[i] = int(Path('/proc/self/statm').read_text().split()[1])*resource.getpagesize()/1e6
            return super().open(i)
    many.__class__ = Watched
    import tempfile
    with tempfile.TemporaryDirectory() as d: extract(many, create_model('tiny', 128), 'Scale(0.25)', store=d)
    at = [i for i in seen if i >= min(2000, n//4)]
    print(f'resident memory: {seen[at[0]]:.0f} MB at photo {at[0]}, {seen[at[-1]]:.0f} MB at photo {at[-1]}, most {max(seen[i] for i in at):.0f} MB')


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('photos')
    p.add_argument('--original')
    p.add_argument('--sample', type=int, default=0)
    p.add_argument('--times', type=int, default=1, help='go through the photos so many times in a run')
    p.add_argument('--repeat', type=int, default=3)
    p.add_argument('--device', default='cpu')
    p.add_argument('--flat', type=int, default=0)
    args = p.parse_args()
    photos = ImageFolder(args.photos)
    if args.flat: return flat(photos, args.flat)
    if args.sample: photos = Subset(photos, np.sort(np.random.default_rng(0).permutation(len(photos))[:args.sample]))
    if args.times > 1: photos = Dataset(list(photos.keys)*args.times, photos.root)
    net, name = network(), 'the original' if args.original else 'a plain loop'
    ways = {name: original(args.original, net, photos, args.device) if args.original else plain_loop(net, photos, args.device)}
    for precision in ('float32', 'bf16'):
        ways[f'deepir {precision}'] = lambda precision=precision: extract(photos, net, device=args.device, precision=precision, progress=False).desc
    times, out = {way: [] for way in ways}, {}
    for way, f in ways.items():  # the baseline first: deepir's extraction changes how the process keeps memory
        for _ in range(args.repeat): seconds, out[way] = clock(f); times[way].append(seconds)
    base = statistics.median(times[name])
    print(f'{len(photos)} photos, {len(set(photos.open(i).size for i in range(len(photos))))} sizes, {torch.get_num_threads()} threads, {args.device}')
    for way, t in times.items():
        t, cosine = statistics.median(t), (out[way]*out[name]).sum(1)
        print(f'{way:16}{1e3*t/len(photos):9.1f} ms a photo{base/t:7.2f} times the speed of {name}; descriptors differ by {(out[way] - out[name]).abs().max():.1e}, least cosine {cosine.min():.6f}')
    for precision in ('float32', 'bf16'): where_time_goes(net, photos, args.device, precision, statistics.median(times[f'deepir {precision}']))


if __name__ == '__main__': main()
