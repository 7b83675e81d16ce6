"""Real photos: off the shelf (baseline) against training with mined triplets, with all triplets of a batch and with listwise AP, at equal photos seen.

    python benchmarks/landmarks.py PHOTOS WEIGHTS [--steps 100] [--losses triplet all_triplets ap] [--json results.json]

PHOTOS is a folder with `labels.txt` ('path label' lines below `jpg/`), WEIGHTS a folder with `mobilenet_v2-features-fp16.pth`.
30 landmarks, drawn by seed 0, are trained on; 500 photos of the 11 others are queries for each other, at their own size. mAP in percent,
finite sum; whitening is learned on the 30. As Gordo et al. do, training begins with a projection that whitens: it is learned on the 30, too,
from the network off the shelf.
"""
import argparse, json, time
from pathlib import Path
import numpy as np
import torch
import torchvision
from deepir.core import seed_everything
from deepir.datasets import ImageListLabels, Subset
from deepir.eval import evaluate, evaluate_descriptors, postprocess
from deepir.features import extract
from deepir.nets import RetrievalNet
from deepir.pooling import GeM
from deepir.train import train
from deepir.whiten import Whitening


def split(photos, n_train=30, n_test_photos=500):
    "Photos of 30 landmarks to train on, photos of the others to test on."
    rng = np.random.default_rng(0)
    landmarks = set(rng.permutation(sorted(set(photos.labels)))[:n_train])
    test = [i for i, label in enumerate(photos.labels) if label not in landmarks]
    return Subset(photos, [i for i, label in enumerate(photos.labels) if label in landmarks]), Subset(photos, np.sort(rng.permutation(test)[:n_test_photos]))


def mobilenet(folder):
    "MobileNetV2 from ImageNet, GeM with p to be learned, no projection."
    trunk = torchvision.models.mobilenet_v2().features
    trunk.load_state_dict(torch.load(Path(folder)/'mobilenet_v2-features-fp16.pth', weights_only=True))
    return RetrievalNet(trunk, GeM(3.))


def learn_whitening(net, photos, dim):
    sample = Subset(photos, np.sort(np.random.default_rng(1).permutation(len(photos))[:1500]))
    return Whitening.fit(extract(sample, net, on_error='skip', progress=False).desc, dim=dim)


def with_projection(net, w, p=.25):
    "The network with a projection that whitens its descriptors, as a start for training."
    axes = w.components/w.variances[:, None]**p
    axes *= len(axes)**.5/axes.norm()  # without effect on the descriptors, which are normalised
    net.norm_pooled, net.projection = True, torch.nn.Linear(axes.shape[1], len(axes))
    net.projection.weight.data, net.projection.bias.data = axes.float(), -(axes @ w.mean).float()
    return net


def score(net, train_photos, test_photos):
    "mAP plain and whitened, percent, with the whitening."
    report = evaluate(test_photos, net, progress=False)
    w = learn_whitening(net, train_photos, 512)
    white = evaluate_descriptors(test_photos, *postprocess(report.queries, report.db, w))
    return [round(100*r.mAP['mAP'], 2) for r in (report, white)], w


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('photos')
    p.add_argument('weights')
    for name, default in dict(steps=100, size=224, seed=0).items(): p.add_argument(f'--{name}', type=int, default=default)
    p.add_argument('--losses', nargs='+', default=['triplet', 'all_triplets', 'ap'])
    p.add_argument('--lr', type=float, default=5e-5)
    p.add_argument('--precision', default='bf16')
    p.add_argument('--json')
    args = p.parse_args()
    photos = ImageListLabels(Path(args.photos)/'labels.txt', Path(args.photos)/'jpg')
    train_photos, test_photos = split(photos)
    print(f'{len(train_photos)} photos of {len(set(train_photos.labels))} landmarks to train on, {len(test_photos)} of {len(set(test_photos.labels))} to test on')
    begin, results = time.time(), {}
    results['off the shelf'], w = score(mobilenet(args.weights), train_photos, test_photos)
    print('off the shelf', results, flush=True)
    for loss in args.losses:
        seed_everything(args.seed)
        net, start = with_projection(mobilenet(args.weights), w), time.time()
        history = train(net, train_photos, loss=loss, steps=args.steps, p=16, k=8, lr=args.lr, warmup=10, seed=args.seed, mine_every=25, mine_from=600, chunk=32,
                        precision=args.precision, trfs=f'RandomResizedCrop({args.size}, scale=(.25, 1)), ColorJitter(.3, .3, .3)')
        minutes = (time.time() - start)/60
        results[loss] = score(net, train_photos, test_photos)[0]
        print(f'{loss}: {minutes:.1f} minutes, loss {np.mean(history.loss[:10]):.3f} to {np.mean(history.loss[-10:]):.3f}, p {history.p[-1]:.2f}', results[loss], flush=True)
    print(f'{(time.time() - begin)/60:.1f} minutes in all')
    print(f'{"mAP, %":16}{"plain":>8}{"whitened":>10}')
    for name, (plain, white) in results.items(): print(f'{name:16}{plain:8.1f}{white:10.1f}')
    if args.json: Path(args.json).write_text(json.dumps(results, indent=1))


if __name__ == '__main__': main()
