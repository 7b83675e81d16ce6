"""For `fuzz.py`: sound files of each kind that deepir reads, and how they are read."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import pickle
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from unittest import mock

import fuzz_mutations
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from deepir.checkpoints import load_model, read_checkpoint, save_model
from deepir.cli.eval import add_results
from deepir.collection import Collection
from deepir.core import seeded
from deepir.datasets import (
    Dataset,
    ImageClusters,
    ImageFolder,
    ImageList,
    ImageListLabels,
    ImageListLabelsQ,
    ImageListRelevants,
)
from deepir.downloads.archives import unpack
from deepir.extractor import Extractor
from deepir.features import extract
from deepir.images import open_image
from deepir.nets import RetrievalNet, create_model
from deepir.pickles import load_plain
from deepir.safetensors import save_safetensors
from deepir.store import Features, Store
from deepir.toy.landmarks import ToyLandmarks
from deepir.train import train
from deepir.weights import fill
from deepir.whiten import Whitening

TIME = 1_700_000_000  # of all files of an input, seconds: indexes compare it


class Altered(Exception):
    "Raised if a damaged file was read and gave other contents."


@dataclass
class Sample:
    "Sound files that are read together."

    files: dict[str, bytes]  # path below the folder of the input -> contents
    read: Callable[[Path], object]  # of the folder, or of the file if there is only one
    targets: list[str] = field(default_factory=list)  # files to damage; empty: all
    kinds: dict[str, str] = field(default_factory=dict)  # file -> kind, if the suffix doesn't say
    extras: tuple[str, ...] = ()  # files that a stranger may have put beside them
    trees: dict[str, tuple] = field(default_factory=dict)  # file -> (plain data, function to bytes)
    checked: bool = False  # deepir wrote it with checksums: it gives these contents or none
    signed_targets: list[str] | None = None  # files that may get right checksums; None: all
    by_folder: bool = False  # an error may name the folder instead of a file
    writes: bool = False  # whether reading may change the folder of the input
    share: float = 1.0  # of the inputs of this format, relative to other samples
    refused: bool = (
        False  # deepir refuses the file as it is, too: it is hostile, or of a wrong kind
    )

    def __post_init__(self):
        self.targets = self.targets or list(self.files)

    @property
    def key(self) -> str:
        "A name that stays the same."
        read = getattr(self.read, "func", self.read)
        name = getattr(read, "__name__", type(read).__name__)
        return f"{next(iter(self.files))} {len(self.files)} {name} {len(self.targets)}"

    @property
    def is_single(self) -> bool:
        return len(self.files) == 1 and not self.by_folder


@dataclass
class Format:
    "A kind of file."

    name: str
    share: float  # of the campaign's inputs
    make: Callable[[Path], list[Sample]]  # in an empty folder
    memory: int = 200 * 10**6  # bytes that reading may take, beside 50 times the size of the files


# What files hold


def digest(value: object) -> str:
    "Return a hash of plain data, tensors and arrays."
    out = hashlib.sha256()

    def add(value):
        if isinstance(value, dict):
            out.update(b"{")
            for key, part in value.items():
                out.update(repr(key).encode())
                add(part)
        elif isinstance(value, (list, tuple)):
            out.update(b"[%d" % len(value))
            for part in value:
                add(part)
        elif isinstance(value, Tensor):
            value = value.detach().cpu().contiguous()
            out.update(repr((value.dtype, tuple(value.shape))).encode())
            out.update(
                value.flatten().view(torch.uint8).numpy().tobytes() if value.numel() else b""
            )
        elif isinstance(value, np.ndarray) and value.dtype != object:
            out.update(repr((value.dtype.str, value.shape)).encode() + value.tobytes())
        elif hasattr(value, "__dict__") and not callable(value):
            add(vars(value))
        else:
            out.update(repr(value).encode("utf-8", "surrogatepass"))

    add(value)
    return out.hexdigest()


def _files_below(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path: path.relative_to(folder).as_posix() for path in paths}
    return {n: p.read_bytes() for p, n in names.items() if not Path(n).name.startswith(".lock")}


# Photos


def small_photo(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def encoded(photo: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    photo.save(out, kind, **options)
    return out.getvalue()


def _many_photos() -> dict[str, bytes]:
    "Return photos of all kinds that are read."
    photo, grey = small_photo(0), small_photo(1).convert("L")
    exif = Image.Exif()
    exif[0x0112] = 6
    clear = photo.convert("RGBA")
    clear.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    frames = dict(save_all=True, append_images=[small_photo(2), small_photo(3)])
    return {
        "rgb.jpg": encoded(photo, "JPEG", exif=exif),
        "progressive.jpg": encoded(photo, "JPEG", progressive=True),
        "grey.jpg": encoded(grey, "JPEG"),
        "cmyk.jpg": encoded(photo.convert("CMYK"), "JPEG"),
        "rgb.png": encoded(photo, "PNG", exif=exif),
        "clear.png": encoded(clear, "PNG"),
        "palette.png": encoded(photo.quantize(16), "PNG", transparency=3),
        "deep.png": encoded(deep, "PNG"),
        "bilevel.png": encoded(grey.convert("1"), "PNG"),
        "moving.png": encoded(photo, "PNG", **frames),
        "lossy.webp": encoded(photo, "WEBP"),
        "lossless.webp": encoded(clear, "WEBP", lossless=True),
        "moving.webp": encoded(photo, "WEBP", **frames),
        "raw.tif": encoded(photo, "TIFF"),
        "deflate.tif": encoded(photo, "TIFF", compression="tiff_adobe_deflate"),
        "lzw.tif": encoded(photo, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": encoded(photo, "TIFF", compression="jpeg"),
        "deep.tif": encoded(deep, "TIFF"),
        "float.tif": encoded(grey.convert("F"), "TIFF"),
        "cmyk.tif": encoded(photo.convert("CMYK"), "TIFF"),
        "pages.tif": encoded(photo, "TIFF", **frames),
        "palette.gif": encoded(photo, "GIF"),
        "moving.gif": encoded(photo, "GIF", **frames),
        "rgb.bmp": encoded(photo, "BMP"),
        "palette.bmp": encoded(photo.quantize(16), "BMP"),
        "rgb.ppm": encoded(photo, "PPM"),
        "grey.ppm": encoded(grey, "PPM"),
    }


def _read_photo(path: Path) -> None:
    photo = open_image(path)
    if photo.mode != "RGB":
        raise Altered(f"mode {photo.mode}")
    np.asarray(photo).sum()


def _describe_folder(extractor: Extractor, folder: Path) -> None:
    "Describe a folder in which photos may be damaged; the others must be described."
    dataset = ImageFolder(folder)
    features = extract(dataset, extractor, on_error="skip", progress=False)
    described = [*features.keys, *(failure.key for failure in features.failed)]
    if "sound.jpg" not in features.keys or sorted(described) != dataset.keys:
        raise Altered(f"described {features.keys}, failed {features.failed}")
    for failure in features.failed:
        if failure.key not in failure.reason or "\n" in failure.reason.replace(failure.key, ""):
            raise Altered(f"a failure that doesn't name its photo: {failure}")


# A program that Ghostscript would run for ever, under the name of a photo
_EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 40 30
%%Pages: 1
%%EndComments
{} loop
%%EOF
"""


def _disguised_photos() -> dict[str, bytes]:
    "Return files of kinds that deepir doesn't read, under the names of photos."
    photo = small_photo(0)
    files = {"eps.jpg": _EPS, "svg.png": b'<svg><image href="../canary.txt"/></svg>'}
    for kind in ("ICO", "TGA", "PCX", "SGI", "IM", "DDS", "JPEG2000", "MPO", "PDF", "ICNS", "QOI"):
        try:
            files[f"{kind.lower()}.jpg"] = encoded(photo, kind)
        except (OSError, KeyError):  # Pillow was built without it
            continue
    files["xbm.jpg"] = encoded(photo.convert("1"), "XBM")
    files["wmf.jpg"] = b"\xd7\xcd\xc6\x9a\x00\x00" + bytes(36)
    files["psd.jpg"] = (
        b"8BPS\x00\x01" + bytes(6) + b"\x00\x03\x00\x00\x00\x1e\x00\x00\x00\x28\x00\x08\x00\x03"
    )
    files["fits.jpg"] = (
        b"SIMPLE  =                    T".ljust(80) + b"BITPIX  =  8".ljust(80) + b"END"
    )
    return files


def _photos(folder: Path) -> list[Sample]:
    photos = _many_photos()
    samples = [Sample({name: data}, _read_photo) for name, data in photos.items()]
    for name, data in _disguised_photos().items():
        samples.append(Sample({name: data}, _read_photo, refused=True, share=0.3))
    read = partial(_describe_folder, small_extractor())
    sound = encoded(small_photo(7), "JPEG")
    for name in ("rgb.jpg", "clear.png", "lossy.webp", "deflate.tif", "moving.gif"):
        files = {name: photos[name], "sound.jpg": sound}
        samples.append(Sample(files, read, targets=[name], by_folder=True))
    return samples


# Networks


def small_net() -> RetrievalNet:
    "Return a network that describes a photo in a millisecond."
    with seeded(0):
        trunk = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.ReLU())
        return RetrievalNet(trunk, projection=nn.Linear(8, 4)).eval()


def small_extractor(**settings) -> Extractor:
    settings = {"max_size": 64, "device": "cpu", "threads": 1, **settings}
    return Extractor(small_net(), **settings)


def _whitening(dim: int, axes: int) -> Whitening:
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(dim, dim)))[0][:axes]
    variances = np.linspace(1, 0.1, len(axes))
    return Whitening(rng.normal(size=dim) / 10, axes, variances)


def _fill_small_net(path: Path) -> object:
    net = load_model(path, net=small_net())
    whitenings = {name: w.state() for name, w in net.whitenings.items()}
    return dict(net.state_dict()), whitenings, net.settings, net.preprocess


def _load_and_describe(path: Path) -> object:
    extractor = Extractor(path, device="cpu", threads=1)
    return extractor.encode(small_photo(0, (64, 48)))


def _original_pca():
    "Return a fitted PCA of scikit-learn, as the original stores it."
    from sklearn.decomposition import PCA

    x = np.random.default_rng(0).normal(size=(40, 8))
    return PCA(4).fit(x)


def _saved(data: object, legacy: bool = False) -> bytes:
    "Return `data` as torch saves it; its oldest format names storages by address, here by number."
    address = torch.UntypedStorage._cdata.__get__
    numbers = {}

    def number(storage):
        return 10**12 + numbers.setdefault(address(storage), len(numbers))

    out = io.BytesIO()
    with mock.patch.object(torch.UntypedStorage, "_cdata", property(number)):
        torch.save(data, out, _use_new_zipfile_serialization=not legacy)
    return out.getvalue()


def _text_of(name: str) -> bytes:
    return b"X" + len(name).to_bytes(4, "little") + name.encode()


def _hostile_checkpoints() -> dict[str, bytes]:
    "Return checkpoints that would change other files if torch.load read them."
    head = (torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION)
    sizes = {"short": 2, "int": 4, "long": 4}
    head += ({"protocol_version": 1001, "little_endian": True, "type_sizes": sizes},)
    head = b"".join(pickle.dumps(part, 2) for part in head)
    function = b"ctorch._utils\n_rebuild_tensor_v2\n"
    attributes = b"}" + _text_of("dump_patches") + b"\x88s}" + _text_of("__name__")
    attributes += _text_of("pwned") + b"s\x86b0"
    source = b"(" + _text_of("module") + function + _text_of("x.py") + _text_of("text") + b"tQ."
    files = {"patch.pt": head + b"\x80\x02" + function + attributes + source + pickle.dumps([], 2)}
    for kind, what in (
        (tarfile.LNKTYPE, "link"),
        (tarfile.SYMTYPE, "symlink"),
        (tarfile.FIFOTYPE, "pipe"),
    ):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as box:
            info = tarfile.TarInfo("storages")
            info.type, info.linkname, info.mode = kind, "canary.txt", 0o777
            box.addfile(info)
        files[f"{what}.tar.pt"] = out.getvalue()
    return files


def _checkpoints(folder: Path) -> list[Sample]:
    net = small_net()
    net.whitenings = {"mine": _whitening(4, 3)}
    net.settings = {"scales": [1.0, 0.7], "max_size": 64, "whiten": "mine"}
    save_model(net, folder / "own.pt")
    own = (folder / "own.pt").read_bytes()
    tree = torch.load(folder / "own.pt", weights_only=True)
    state = {f"module.{k}": v for k, v in net.state_dict().items() if "projection" not in k}
    state |= {f"module.fc.{k}": v for k, v in net.projection.state_dict().items()}
    original = {
        "model_options": {"arch": "resnet18_rmac", "out_dim": 4, "pooling": "gem", "gemp": 3},
        "state_dict": state,
        "pca": {"Landmarks_clean": _original_pca()},
        "preprocess": {"mean": [0.5] * 3, "std": [0.2] * 3, "input_size": 224},
        "epoch": 3,
        "best": np.float64(0.5),
        "optimizer": {"state": {}, "param_groups": []},
    }
    with seeded(0):
        tiny = create_model("tiny", 8)
    tiny.settings = {"max_size": 64, "trfs": "", "scales": [1.0]}
    tiny.whitenings = {"mine": _whitening(8, 4)}
    save_model(tiny, folder / "tiny.pt")
    tiny_file = (folder / "tiny.pt").read_bytes()
    tiny_tree = torch.load(folder / "tiny.pt", weights_only=True)
    plain = {name: tree for name, tree in original.items() if name != "pca"}
    deepir_trees = {"own.pt": (tree, _saved)}
    samples = [
        Sample({"own.pt": own}, read_checkpoint, trees=deepir_trees, checked=True),
        Sample({"own.pt": own}, _fill_small_net, trees=deepir_trees, checked=True),
        Sample(
            {"legacy.pt": _saved(tree, True)},
            read_checkpoint,
            kinds={"legacy.pt": "pickle"},
            trees={"legacy.pt": (tree, partial(_saved, legacy=True))},
        ),
        Sample(
            {"original.pt": _saved(original, True)},
            read_checkpoint,
            kinds={"original.pt": "pickle"},
            trees={"original.pt": (plain, partial(_saved, legacy=True))},
        ),
        Sample(
            {"zipped.pt": _saved(original)},
            read_checkpoint,
            trees={"zipped.pt": (original, _saved)},
        ),
        Sample({"state.pth": _saved(dict(net.state_dict()))}, read_checkpoint, refused=True),
    ]
    for name, data in _hostile_checkpoints().items():
        kinds = {name: "tar" if "tar" in name else "pickle"}
        samples.append(Sample({name: data}, read_checkpoint, kinds=kinds, refused=True, share=0.2))
    options = dict(trees={"tiny.pt": (tiny_tree, _saved)}, share=0.25)
    samples.append(Sample({"tiny.pt": tiny_file}, load_model, **options))
    samples.append(Sample({"tiny.pt": tiny_file}, _load_and_describe, checked=True, **options))
    return samples


# Weights and model hubs


def _fill_trunk(path: Path) -> object:
    net = small_net()
    fill(net.trunk, path, "a small trunk")
    return dict(net.state_dict())


def _describe_pretrained(folder: Path) -> object:
    extractor = Extractor.from_pretrained(folder, device="cpu", threads=1)
    return {"descriptor": extractor.encode(small_photo(0, (64, 48)))}


def _weights(folder: Path) -> list[Sample]:
    net = small_net()
    trunk = dict(net.trunk.state_dict())
    script = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in trunk.items()}, "lr": 0.1}
    save_safetensors(trunk, folder / "trunk.safetensors")
    with seeded(0):
        tiny = create_model("tiny", 8)
        alexnet = {f"features.{k}": v for k, v in trunk.items()} | {"pool.p": torch.tensor([3.0])}
    tiny.whitenings = {"mine": _whitening(8, 4)}
    Extractor(tiny, whiten="mine", device="cpu").save_pretrained(folder / "hub")
    hub = {
        name: (folder / "hub" / name).read_bytes() for name in ("config.json", "model.safetensors")
    }
    learned = {"m": np.zeros((4, 1)), "P": np.eye(4)}
    meta = {"architecture": "alexnet", "pooling": "gem", "mean": [0.5] * 3, "std": [0.2] * 3}
    meta["Lw"] = {"set": {"ss": learned, "ms": learned}}
    cirtorch = {"epoch": 3, "meta": meta, "state_dict": alexnet}
    return [
        Sample({"plain.pth": _saved(trunk)}, _fill_trunk, trees={"plain.pth": (trunk, _saved)}),
        Sample({"script.pth": _saved(script)}, _fill_trunk, trees={"script.pth": (script, _saved)}),
        Sample(
            {"trunk.safetensors": (folder / "trunk.safetensors").read_bytes()}, _fill_trunk, share=2
        ),
        Sample(
            {"cirtorch.pth": _saved(cirtorch)},
            read_checkpoint,
            trees={"cirtorch.pth": ({**cirtorch, "meta": {**meta, "Lw": {}}}, _saved)},
        ),
        Sample(hub, _describe_pretrained, by_folder=True, share=0.5),
    ]


# Training


def _resume(folder: Path) -> object:
    dataset = ImageListLabels.from_lists(
        [f"{i}.jpg" for i in range(4)], [0, 0, 1, 1], folder / "photos"
    )
    net = small_net()
    options = dict(p=2, k=2, trfs="CenterCrop(16)", freeze_bn=False, device="cpu", threads=0)
    history = train(
        net, dataset, checkpoint=folder / "net.pt", steps=2, save_every=1, progress=False, **options
    )
    return dict(net.state_dict()), history.loss


def _states(folder: Path) -> list[Sample]:
    for i in range(4):
        path = folder / "photos" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(small_photo(i), "JPEG"))
    _resume(folder)
    files = {
        name: data for name, data in _files_below(folder).items() if not name.endswith(".lock")
    }
    trees = {"net.pt.state": (torch.load(folder / "net.pt.state", weights_only=True), _saved)}
    both = ["net.pt.state", "net.pt.state.previous"]
    alone = {name: data for name, data in files.items() if not name.endswith(".previous")}
    extras = ("net.pt.lock", "net.pt.state.lock", "net.pt", ".deepir-00000000-1-00000000.pt")
    options = dict(trees=trees, checked=True, writes=True, extras=extras)
    return [
        Sample(files, _resume, targets=both, **options),
        Sample(alone, _resume, targets=both[:1], **options),
    ]


# Data sets


def _use(dataset: Dataset) -> Dataset:
    "Ask a data set for everything, and open its first photos."
    queries = dataset.queries
    for mode in dataset.modes:
        for q in range(min(50, len(queries))):
            dataset.truth(q, mode)
    repr(dataset)
    for part in (dataset, queries):
        for i in range(min(2, len(part))):
            part.open(i)
    return dataset


# Photos that lists of every input may name: in the sandbox, beside the input's folder
SHARED = "shared"


def _shared(path: Path) -> Path:
    folder = path if path.is_dir() else path.parent
    return folder.parent / SHARED


def _load_truth(path: Path) -> None:
    _use(ImageListRelevants(path, _shared(path), img_dir=""))


def _load_drawn(root: Path) -> None:
    _use(
        ToyLandmarks(
            "test",
            test=2,
            photos=3,
            queries=1,
            distractors=0,
            size=32,
            root=root,
            workers=1,
            progress=False,
        )
    )


def _truths(folder: Path) -> list[Sample]:
    old = {
        "imlist": ["0", "1", "2", "3"],
        "qimlist": ["0", "1"],
        "gnd": [
            {"ok": np.array([1]), "junk": np.array([0]), "bbx": np.array([1.0, 2, 30, 20])},
            {"ok": [2, 3], "junk": [], "bbx": [0, 0, 10, 10]},
        ],
    }
    new = {
        **old,
        "gnd": [
            {"easy": [1], "hard": np.array([2]), "junk": [0], "bbx": (1.5, 2, 30, 20)},
            {"easy": [2], "hard": [3], "junk": [], "bbx": np.float32([0, 0, 10, 10])},
        ],
    }
    samples = []
    for kind, truth in {"old": old, "new": new}.items():
        for protocol in (2, 4):
            dump = partial(pickle.dumps, protocol=protocol)
            name = f"{kind}{protocol}.pkl"
            trees = {name: (truth, dump)}
            samples.append(Sample({name: dump(truth)}, _load_truth, trees=trees))
        plain = json.dumps(truth, default=lambda x: np.asarray(x).tolist())
        samples.append(Sample({f"{kind}.json": plain.encode()}, _load_truth))
    _load_drawn(folder)
    files = _files_below(folder)
    lists = [name for name in files if name.endswith(".json")]
    samples.append(Sample(files, _load_drawn, targets=lists, by_folder=True, writes=True))
    return samples


def _use_plain(path: Path) -> None:
    "Read a pickle and turn each of its arrays into lists."
    waiting, seen = [load_plain(path)], {}
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, np.ndarray) and value.size < 10**6:
            value.tolist()
        elif isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            waiting += value


def _hostile_pickles() -> dict[str, bytes]:
    "Return pickles of an array whose bytes are taken for objects."

    def dtype(code):
        return b"cnumpy\ndtype\n" + _text_of(code) + b"K\x00K\x01\x87R"

    def latin(text):
        return b"c_codecs\nencode\n" + _text_of(text) + _text_of("latin1") + b"\x86R"

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + latin("b") + b"tR"
    )
    state = b"(K\x03" + _text_of("|") + b"N" + _text_of("f") + b"\x85}" + _text_of("f")
    state += dtype("O") + b"K\x00\x86sK\x08K\x01K\x00tb"
    with_fields = (
        b"(K\x01K\x02\x85" + dtype("V8") + state + b"\x89" + latin("AAAAAAA\0" * 2) + b"tb"
    )
    plain = b"(K\x01K\x02\x85" + dtype("O") + b"\x89" + latin("AAAAAAA\0" * 2) + b"tb"
    big = b"(K\x01J\xff\xff\xff\x3f\x85" + dtype("f8") + b"\x89" + latin("A") + b"tb"
    ends = {"fields.pkl": with_fields, "objects.pkl": plain, "big.pkl": big}
    files = {name: b"\x80\x02" + array + end + b"." for name, end in ends.items()}
    return files | {"memo.pkl": b"\x80\x02Nr\xff\xff\xff\x7f."}


def _pickles(folder: Path) -> list[Sample]:
    values = [
        {"a": [1, 2.5, "text", b"bytes", None, True, (1,), 10**30]},
        [np.arange(6).reshape(2, 3), np.float32(1.5), np.array(["a", "bc"]), np.array([True])],
        {"deep": [[[[{"x": np.zeros((1, 3))}]]]], "order": np.asfortranarray(np.eye(3))},
    ]
    samples = []
    for i, value in enumerate(values):
        for protocol in (0, 2, 4, 5):
            dump = partial(pickle.dumps, protocol=protocol)
            name = f"data{i}{protocol}.pkl"
            samples.append(Sample({name: dump(value)}, _use_plain, trees={name: (value, dump)}))
    for name, data in _hostile_pickles().items():
        samples.append(Sample({name: data}, _use_plain, refused=True))
    return samples


def _lists(folder: Path) -> list[Sample]:
    labelled = "0.jpg a\n1.jpg a\n2.jpg b\n3.jpg b\n"
    table = 'path,label\n0.jpg,a\n1.jpg,a\n\n# a comment\n2.jpg,"b, c"\n3.jpg,"b, c"\n'
    clusters = {"0.jpg": "a", "1.jpg": "a", "2.jpg": 3, "3.jpg": None}

    def reader(kind, **options):
        return lambda path: _use(kind(path, root=_shared(path), **options))

    def read_two(folder):
        return _use(
            ImageListLabelsQ(folder / "db.txt", folder / "queries.csv", folder.parent / SHARED)
        )

    single = [
        ("photos.txt", "0.jpg\n1.jpg\n2.jpg\n", ImageList),
        ("photos.csv", "path\n0.jpg\n1.jpg\n", ImageList),
        ("photos.tsv", "path\tyear\n0.jpg\t1990\n1.jpg\t2000\n", ImageList),
        ("labels.txt", labelled, ImageListLabels),
        ("labels.csv", table, ImageListLabels),
        ("labels.tsv", table.replace(",", "\t").replace("b\t c", "b, c"), ImageListLabels),
        ("labels.json", json.dumps({k: v or "b" for k, v in clusters.items()}), ImageListLabels),
        ("clusters.json", json.dumps(clusters), ImageClusters),
    ]
    samples = [Sample({name: text.encode()}, reader(kind)) for name, text, kind in single]
    files = {"db.txt": labelled.encode(), "queries.csv": b"path,label\n0.jpg,a\n2.jpg,b\n"}
    samples.append(Sample(files, read_two))
    return samples


# Descriptors


def _features_of(n: int, dim: int = 8) -> Features:
    with seeded(n):
        desc = nn.functional.normalize(torch.randn(n, dim))
    keys = [f"photos/{i}.jpg" for i in range(n)]
    return Features(desc, keys, [("bad.jpg", "bad.jpg: cannot be read")], "0123456789abcdef")


def _open_features(path: Path, name: str = "") -> object:
    features = Features.open(path / name if name else path)
    desc = features.desc[:]
    features.desc[np.arange(min(2, len(features)))]
    repr(features)
    failed = [tuple(failure) for failure in features.failed]
    return desc, features.keys, failed, features.fingerprint


def _features(folder: Path) -> list[Sample]:
    samples = []
    for dtype in ("float32", "float16"):
        name = f"{dtype}.npy"
        (folder / dtype).mkdir()
        _features_of(5).save(folder / dtype / name, dtype)
        read = partial(_open_features, name=name)
        samples.append(Sample(_files_below(folder / dtype), read, checked=True))
    out = io.BytesIO()
    np.save(out, np.eye(4, 6, dtype=np.float32))
    samples.append(Sample({"plain.npy": out.getvalue()}, _open_features))
    return samples


def _open_store(folder: Path) -> object:
    store = Store(folder)
    features = store.read()
    return (
        features.desc[:],
        features.keys,
        [tuple(f) for f in features.failed],
        features.fingerprint,
    )


def _stores(folder: Path) -> list[Sample]:
    photos = folder / "photos"
    photos.mkdir()
    for i in range(5):
        (photos / f"{i}.jpg").write_bytes(encoded(small_photo(i), "JPEG"))
    (photos / "bad.jpg").write_bytes(b"not a photo")
    store = folder / "store"
    extract(ImageFolder(photos), small_extractor(), store, "skip", progress=False, shard=3)
    return [Sample(_files_below(store), _open_store, checked=True, by_folder=True)]


class _Searcher:
    "Search a collection with an extractor that is prepared once, before processes are forked."

    def __init__(self):
        self.extractor = small_extractor()
        self.query = small_photo(2)
        self.extractor.encode(self.query)

    def __call__(self, folder: Path) -> object:
        collection = Collection(folder, self.extractor, folder / "index", progress=False)
        found = collection.search(self.query, 3)
        return [(round(match.score, 3), match.path.name) for match in found], collection.keys


def _collections(folder: Path) -> list[Sample]:
    for i in range(5):
        path = folder / f"place {i % 2}" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(small_photo(i), "JPEG"))
        os.utime(path, (TIME, TIME))
    (folder / "bad.jpg").write_bytes(b"not a photo")
    os.utime(folder / "bad.jpg", (TIME, TIME))
    search = _Searcher()
    search(folder)
    files = _files_below(folder)
    store = next(name for name in files if name.endswith("store.json")).removesuffix("store.json")
    names = (".lock-0", ".lock", "00000.json", "00007.json", "00001.npy", ".00000.1-00.npy")
    extras = tuple(store + name for name in (*names, ".deepir-00000000-1-00000000.npy"))
    index = [name for name in files if name.startswith("index/")]
    options = dict(targets=index, checked=True, by_folder=True, writes=True, extras=extras)
    return [Sample(files, search, **options)]


def _whitenings(folder: Path) -> list[Sample]:
    _whitening(8, 4).save(folder / "plain.npz")
    _whitening(8, 4).replace(power=0.25, dim=3).save(folder / "chosen.npz")

    def read(path):
        whitening = Whitening.load(path)
        whitening(np.eye(len(whitening.mean), dtype=np.float32)[:2])
        return whitening.state()

    return [Sample({n: data}, read, checked=True) for n, data in _files_below(folder).items()]


def _results(folder: Path) -> list[Sample]:
    def read(path):
        add_results(path, "toy", {"mAP": 0.5})

    data = json.dumps({"Oxford5K": {"mAP": 0.8, "APs": [0.5, 1.0]}}, indent=1).encode()
    return [Sample({"results.json": data}, read, writes=True)]


# Other systems


def _faiss_indexes(folder: Path) -> list[Sample]:
    try:
        import faiss
    except ImportError:
        return []
    from deepir.interop.faiss import FaissIndex

    faiss.omp_set_num_threads(1)

    def read(folder, name):
        index = FaissIndex.load(folder / name)
        return list(index.search(torch.eye(8)[:2], 2))

    samples = []
    for kind in ("flat", "hnsw"):
        name = f"{kind}.faiss"
        (folder / kind).mkdir()
        FaissIndex(_features_of(6), kind).save(folder / kind / name)
        files = _files_below(folder / kind)
        # FAISS reads its own file, so only its checksum stands between it and a damaged one.
        signed = [name for name in files if name.endswith(".json")]
        samples.append(Sample(files, partial(read, name=name), checked=True, signed_targets=signed))
    return samples


def _kaptures(folder: Path) -> list[Sample]:
    try:
        import kapture  # noqa: F401
    except ImportError:
        return []
    from deepir.interop.kapture import KaptureFeatures, KaptureImages, extract_kapture

    def put(name, data):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    first = "# kapture format: 1.1\n"
    camera = "# id, name, type, params\ncam, , camera, SIMPLE_PINHOLE, 40, 30, 40, 20, 15\n"
    put("sensors/sensors.txt", (first + camera).encode())
    records = "".join(f"{i}, cam, test/{i}.jpg\n" for i in range(3))
    put("sensors/records_camera.txt", (first + "# time, id, path\n" + records).encode())
    for i in range(3):
        put(f"sensors/records_data/test/{i}.jpg", encoded(small_photo(i), "JPEG"))
    extract_kapture(folder, small_extractor(), "small", progress=False)
    files = _files_below(folder)
    below = "reconstruction/global_features/small/"
    features = {name: data for name, data in files.items() if name.endswith(".gfeat")}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as box:
        for name, data in features.items():
            info = tarfile.TarInfo(name.removeprefix(below))
            info.size = len(data)
            box.addfile(info, io.BytesIO(data))
    packed = {name: data for name, data in files.items() if name not in features}
    packed[below + "global_features.tar"] = archive.getvalue()

    def read(root):
        photos = KaptureImages(root)
        for i in range(min(2, len(photos))):
            photos.path(i)
        there = KaptureFeatures(photos, "small")
        repr(there)
        if there.present:
            there.read(sorted(there.present))

    texts = [name for name in files if name.endswith(".txt")]
    return [
        Sample(files, read, targets=texts * 2 + list(features), by_folder=True),
        Sample(packed, read, targets=[*texts, below + "global_features.tar"], by_folder=True),
    ]


# Archives


def _unpack(path: Path) -> None:
    folder = path.parent / "out"
    unpack(path, folder, progress=False)
    for found in folder.rglob("*"):
        if found.is_symlink() or not (found.is_dir() or found.is_file()):
            raise Altered(f"{found.name} is a link or a device")
        if found.is_file() and found.stat().st_nlink > 1:
            raise Altered(f"{found.name} is linked to another file")


def _archives(folder: Path) -> list[Sample]:
    members = {f"photos/{i}.txt": b"photo %d" % i * 50 for i in range(3)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as box:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            box.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("photos/same.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "0.txt"
        box.addfile(link)
    tar = out.getvalue()
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as box:
        for name, data in members.items():
            box.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    files = {
        "photos.tar": tar,
        "photos.tgz": gzip.compress(tar, mtime=0),
        "photos.xz": lzma.compress(tar),
        "photos.bz2": bz2.compress(tar),
        "photos.zip": zipped.getvalue(),
    }
    extras = (".out.lock", ".out.unpacking", "out", ".deepir-00000000-1-00000000")
    options = dict(writes=True, extras=extras)
    samples = [Sample({name: data}, _unpack, **options) for name, data in files.items()]
    for sample, share in zip(samples, (3, 3, 1, 1, 4)):
        sample.share = share
    return samples


# Names


def _keep_names(folder: Path) -> None:
    "Describe and search photos with odd names; names and rows must agree on disk, too."
    dataset = ImageFolder(folder / "photos")
    features = extract(dataset, small_extractor(threads=0), on_error="skip", progress=False)
    features.save(folder / "desc.npy")
    again = Features.open(folder / "desc.npy")
    if again.keys != features.keys or not torch.equal(again.desc[:], features.desc):
        raise Altered(f"{features.keys} became {again.keys}")
    if sorted([*features.keys, *(failure.key for failure in features.failed)]) != dataset.keys:
        raise Altered(f"{dataset.keys} became {features.keys}")
    for _ in range(2):  # the second reads what the first has written
        collection = Collection(
            folder / "photos", small_extractor(threads=0), folder / "index", progress=False
        )
    path = dataset.path(dataset.keys.index(features.keys[0]))
    if sorted(collection.keys) != sorted(features.keys) or collection.search(path)[0].score < 0.99:
        raise Altered(f"{features.keys} became {collection.keys}")


def _names(folder: Path) -> list[Sample]:
    photo = encoded(small_photo(0), "JPEG")
    usable = [
        name
        for name in fuzz_mutations.NAMES
        if len(name.encode("utf-8", "surrogateescape")) < 200 and not set(name) & set("/\0")
    ]
    names = [name for name in usable if name not in ("", ".", "..")]
    samples = []
    for i in range(0, len(names), 4):
        files = {f"photos/{name}.jpg": photo for name in names[i : i + 4]}
        files |= {f"photos/{names[i]}/x.jpg": encoded(small_photo(i), "JPEG")}
        samples.append(Sample(files, _keep_names, by_folder=True, writes=True))
    return samples


# Misbehaviour, to see that it is noticed


def _misbehave(path: Path, how: str) -> object:
    "Read a file in one of the ways that are faults."
    if how == "exception":
        raise KeyError(path.name)
    if how == "unnamed":
        raise ValueError("a file that has no name")
    if how == "message":
        raise ValueError(f"{path}: several\nlines")
    if how == "crash":
        os.abort()
    if how == "timeout":
        while True:
            pass
    if how == "memory":
        np.ones(40 * 10**6)
    if how == "forbidden":
        os.system("true")
    if how == "changed":
        torch.save(0, path.parent.parent / "canary.txt")  # written by C++, which Python can't see
    if how == "warning":
        warnings.warn("\x1b[31mred", stacklevel=2)
    return how if how != "altered" else str(path.read_bytes()[:1] == b"s")


def _misbehaviour(folder: Path, classes: tuple[str, ...]) -> list[Sample]:
    return [
        Sample(
            {f"{how}.txt": b"sound"},
            partial(_misbehave, how=how),
            refused=how != "altered",
            checked=True,
        )
        for how in classes
    ]


def misbehaviour(classes: tuple[str, ...]) -> Format:
    "Return a format whose samples are read wrongly, one for each class of faults."
    return Format("misbehaviour", 1, partial(_misbehaviour, classes=classes))


ABOUT_PHOTOS = 10**9  # bytes: 110 megapixels are decoded

FORMATS = (
    Format("checkpoints", 0.18, _checkpoints),
    Format("weights", 0.06, _weights),
    Format("training states", 0.04, _states),
    Format("truths", 0.1, _truths, ABOUT_PHOTOS),
    Format("pickles", 0.1, _pickles),
    Format("lists", 0.1, _lists, ABOUT_PHOTOS),
    Format("photos", 0.19, _photos, ABOUT_PHOTOS),
    Format("features", 0.07, _features),
    Format("stores", 0.05, _stores),
    Format("collections", 0.03, _collections),
    Format("whitenings", 0.04, _whitenings),
    Format("results", 0.01, _results),
    Format("archives", 0.05, _archives),
    Format("kaptures", 0.03, _kaptures),
    Format("faiss indexes", 0.01, _faiss_indexes),
    Format("names", 0.005, _names),
)
