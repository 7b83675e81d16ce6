"""The AP loss: the dense formula (baseline) against the exported two-bin form, forward and backward.

    python benchmarks/ap_loss.py

Prints median seconds and peak memory of both at 2048 x 2048 scores and 20 bins, their ratios from the same run,
the largest difference of loss and gradient, and the exported form alone at 8192 x 8192.
"""
from functools import partial
import torch
from deepir.losses import APLoss
from measure import measure, table

NQ = 20


def dense(x, y):
    "Every score against every bin, as the formula stands."
    centres = torch.linspace(1, 0, NQ, dtype=x.dtype)
    delta = (1 - (x.clamp(0, 1)[..., None] - centres).abs()*(NQ - 1)).clamp(min=0)
    c, h = delta.sum(1), (delta*y[..., None]).sum(1)
    return 1 - (h.cumsum(1)/(1e-16 + c.cumsum(1))*h/h.sum(1, keepdim=True)).sum(1).mean()


def exported(x, y): return APLoss(NQ)(x, y)


def batch(n, dtype=torch.float32):
    torch.manual_seed(0)
    x = torch.rand(n, n, dtype=dtype).requires_grad_()
    x.grad = torch.zeros_like(x)
    labels = torch.randint(n//8, (n,))
    return x, labels[:, None] == labels


def step(loss, state): loss(*state).backward()


if __name__ == '__main__':
    (t0, m0), (t1, m1) = (measure(partial(batch, 2048), partial(step, f), repeats=5) for f in (dense, exported))
    t2, m2 = measure(partial(batch, 8192), partial(step, exported), repeats=1)
    table([('dense, 2048 x 2048', t0, m0), ('exported, 2048 x 2048', t1, m1), ('exported, 8192 x 8192', t2, m2)])
    print(f'exported is {t0/t1:.1f} times faster and needs {m0/m1:.1f} times less memory above the batch itself')
    x, y = batch(256, torch.float64)
    grads = [torch.autograd.grad(f(x, y), x)[0] for f in (dense, exported)]
    print(f'float64, 256 x 256: losses differ by {abs(dense(x, y) - exported(x, y)).item():.0e}, gradients by {(grads[0] - grads[1]).abs().max().item():.0e}')
    x, _ = batch(8192)
    print(f'8192 x 8192: scores and their gradient take {2*x.numel()*4/1e6:.0f} MB, the loss {m2:.0f} MB more')
