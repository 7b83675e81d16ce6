"""Backpropagation in three stages against the direct way (baseline).

    python benchmarks/staged.py

Prints the peak memory of a training step with batches of 256 and 4096 photos in chunks of 64, the time of both ways at a
batch that fits, their ratios from the same run, and the difference of gradients in float64.
"""
from functools import partial
import torch
from deepir.losses import APLoss, listwise
from deepir.nets import create_model
from deepir.staged import freeze_batch_norm, staged_backward
from deepir.train import Again
from measure import measure, table

CHUNK, SIZE = 64, 96


def network(dtype=torch.float32):
    torch.manual_seed(0)
    net = create_model('tiny', 128).to(dtype).train()
    freeze_batch_norm(net)
    return net


def photos(n, dtype=torch.float32):
    "Photos by chunk, made again each time they are asked for, as a reader of files would."
    def chunk(i): return torch.rand(CHUNK, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(i), dtype=dtype)
    return Again(lambda: (chunk(i) for i in range(n//CHUNK)))


def loss_of(n):
    labels = torch.arange(n)//8
    return lambda desc: listwise(APLoss(20), desc, labels)


def staged(n, net):
    net.zero_grad()
    staged_backward(net, photos(n), loss_of(n))


def direct(n, net):
    net.zero_grad()
    loss_of(n)(torch.cat([net(x) for x in photos(n)])).backward()


if __name__ == '__main__':
    small, large = (measure(network, partial(staged, n), repeats=r) for n, r in ((256, 3), (4096, 1)))
    naive = measure(network, partial(direct, 256), repeats=3)
    again = measure(network, partial(staged, 256), repeats=3)
    table([('staged, 256 photos', *small), ('staged, 4096 photos', *large), ('direct, 256 photos', *naive), ('staged, 256 photos, again', *again)])
    print(f'memory at 4096 photos: {large[1]/small[1]:.2f} times that at 256')
    print(f'time at 256 photos: {min(small[0], again[0])/naive[0]:.2f} times the direct way, memory {naive[1]/small[1]:.1f} times less')
    net, grads = network(torch.float64), []
    for way in (lambda: staged_backward(net, photos(128, torch.float64), loss_of(128)), lambda: loss_of(128)(torch.cat([net(x) for x in photos(128, torch.float64)])).backward()):
        net.zero_grad()
        way()
        grads.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.requires_grad]))
    print(f'float64, 128 photos: gradients differ by {(grads[0] - grads[1]).abs().max().item():.0e}')
