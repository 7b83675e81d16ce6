"""Models in one line: `torch.hub.load("deepir/deepir", "extractor")`."""

dependencies = [
    "torch",
    "torchvision",
    "numpy",
    "sklearn",
    "fastcore",
    "tqdm",
    "PIL",
    "filelock",
    "safetensors",
]


def extractor(model="landmarks", **settings):
    """Return a `deepir.Extractor`, whose `encode` turns photos into descriptors.

    `model` is an embedded model, a file, or a name such as "resnet50" or "timm:resnet50".
    `settings` are those of `Extractor`: scales, max_size, whiten, device and others.
    """
    from deepir.extractor import Extractor

    return Extractor(model, **settings)


def model(name="landmarks"):
    """Return the network itself, a torch module: photos (B, 3, H, W) to descriptors (B, D)."""
    from deepir.checkpoints import load_model

    return load_model(name)
