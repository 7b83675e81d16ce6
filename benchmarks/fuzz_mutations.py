"""How `fuzz.py` damages files: blindly, or knowing the format, with right checksums.

Every function takes a `random.Random` and the bytes of a sound file, and returns other bytes.
"""

import bz2
import gzip
import io
import json
import lzma
import math
import pickle
import pickletools
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from random import Random

import numpy as np
import torch
from torch import Tensor

# Numbers at which lengths, counts and offsets go wrong
NUMBERS = (0, 1, -1, 2, 7, 8, 16, 127, 128, 255, 256, 1000, 2**15 - 1, 2**15, 2**16 - 1, 2**16)
NUMBERS += (10**6, 2**24, 10**9, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**53, 2**62)
NUMBERS += (2**63 - 1, 2**63, 2**64 - 1, -(2**31), -(2**63))

# Names of files and texts that mean something to a shell, a terminal, a table or a file system
NAMES = (
    "a\nb", "a\rb", "a\u2028b", "\x1b[31mred\x1b[0m", "\x07", "=1+1", "@SUM(A1)", "$sections",
    "../canary.txt", "../../canary.txt", "../outside/photo.jpg", "/etc/passwd", "/dev/zero",
    "/dev/stdin", "/proc/self/mem", "../pipe.jpg", "../loop.jpg", "a" * 300, "x" * 5000, "a\0b",
    "\udcff", "\u202egpj.exe", " leading", "trailing ", "-rf", "~", "~root/x", "a\\b", "C:\\x",
    "%s%n%d", "{0}{x}", "<script>alert(1)</script>", "&quot;", "", ".", "..", "a/../../b", "\ufeff",
    "\u0430.jpg", "nan", "inf", "1e999", "None", "resnet152", "timm:vit_giant_patch14_dinov2",
    "tiny", "Scale(100000)", "Pad(99999999)", "RandomAffine(1,(1,1),scale=(9999,9999))",
)  # fmt: skip

MOST = 5 * 10**6  # bytes: larger files aren't damaged further


def mutate_bytes(rng: Random, data: bytes) -> bytes:
    "Damage bytes without regard to their meaning."
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(_BLIND)(rng, data)
    return data


def _flip_bits(rng: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8)) if data else 0):
        changed[_somewhere(rng, data)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(rng: Random, data: bytes) -> bytes:
    start, n = _somewhere(rng, data), rng.choice((1, 2, 4, 16, 100))
    run = bytes([rng.choice((0, 255, 32, 10, rng.randrange(256)))]) * n
    return data[:start] + (rng.randbytes(n) if rng.random() < 0.3 else run) + data[start + n :]


def _cut(rng: Random, data: bytes) -> bytes:
    return data[
        : rng.choice((0, 1, _somewhere(rng, data), max(0, len(data) - rng.randrange(1, 9))))
    ]


def _remove(rng: Random, data: bytes) -> bytes:
    start = _somewhere(rng, data)
    return data[:start] + data[start + rng.choice((1, 4, 32, 512)) :]


def _repeat(rng: Random, data: bytes) -> bytes:
    start = _somewhere(rng, data)
    block = data[start : start + rng.choice((1, 4, 64, 4096))]
    return data[:start] + block * rng.choice((2, 2, 3, 50)) + data[start:]


def _write_number(rng: Random, data: bytes) -> bytes:
    start, size = _somewhere(rng, data), rng.choice((1, 2, 4, 4, 8))
    return data[:start] + _packed(rng, size) + data[start + size :]


def _write_digits(rng: Random, data: bytes) -> bytes:
    numbers = list(re.finditer(rb"\d+", data[:100_000]))
    if not numbers:
        return data
    found = rng.choice(numbers)
    return data[: found.start()] + b"%d" % rng.choice(NUMBERS) + data[found.end() :]


_BLIND = (
    *(_flip_bits,) * 4,
    _overwrite, _cut, _cut, _remove, _repeat, _write_number, _write_number, _write_digits,
)  # fmt: skip


def _somewhere(rng: Random, data: bytes) -> int:
    "Return a position, more often near the start or the end, where headers are."
    n = max(1, len(data))
    part = rng.random()
    if part < 0.25:
        return rng.randrange(min(n, 128))
    if part < 0.4:
        return n - 1 - rng.randrange(min(n, 128))
    return rng.randrange(n)


def _packed(rng: Random, size: int, order: str | None = None) -> bytes:
    "Return one of `NUMBERS` in so many bytes."
    number = rng.choice(NUMBERS) % 256**size
    return number.to_bytes(size, order or rng.choice(("little", "big")))


def splice(rng: Random, first: bytes, second: bytes) -> bytes:
    "Join the start of one file and the end of another."
    return first[: _somewhere(rng, first)] + second[_somewhere(rng, second) :]


# Plain data


def mutate_tree(rng: Random, tree: object) -> object:
    "Return plain data with one part changed, removed, or put in another place."
    paths = list(_paths(tree))
    path = rng.choice(paths)
    part = _part(tree, path)
    if path and rng.random() < 0.15:
        return _replaced(tree, path, None, remove=True)
    if rng.random() < 0.1:
        return _replaced(tree, path, _part(tree, rng.choice(paths)))
    return _replaced(tree, path, _changed(rng, part))


def _paths(tree: object, path: tuple = ()) -> list[tuple]:
    "Yield the paths of all parts of a tree."
    yield path
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _paths(value, (*path, key))
    elif isinstance(tree, (list, tuple)):
        for i, value in enumerate(tree):
            yield from _paths(value, (*path, i))


def _part(tree: object, path: tuple) -> object:
    for key in path:
        tree = tree[key]
    return tree


def _replaced(tree: object, path: tuple, value: object, remove: bool = False) -> object:
    if not path:
        return value
    key, *rest = path
    if isinstance(tree, dict):
        changed = dict(tree)
        if remove and not rest:
            del changed[key]
        else:
            changed[key] = _replaced(tree[key], tuple(rest), value, remove)
        return changed
    items = list(tree)
    if remove and not rest:
        del items[key]
    else:
        items[key] = _replaced(items[key], tuple(rest), value, remove)
    return items if isinstance(tree, list) else tuple(items)


def _changed(rng: Random, value: object) -> object:
    "Return something else in the place of a value, often of the same kind."
    if rng.random() < 0.35:
        return _any_value(rng)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((*NUMBERS, value + 1, value - 1, -value, 10**400))
    if isinstance(value, float):
        return rng.choice((math.nan, math.inf, -math.inf, -value, 0.0, 1e308, 5e-324, value * 2))
    if isinstance(value, str):
        return rng.choice(
            (rng.choice(NAMES), rng.choice(NAMES), value + rng.choice(NAMES), value * 2)
        )
    if isinstance(value, (list, tuple)):
        items = list(value)
        return rng.choice(
            (items * 2, items[::-1], items[:1], [], [items], items + [_any_value(rng)])
        )
    if isinstance(value, dict):
        changed = dict(value)
        changed[rng.choice((*NAMES, *value.keys(), 0, 2**70))] = _any_value(rng)
        return changed
    if isinstance(value, Tensor):
        return _changed_tensor(rng, value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "bif":
        changed = _changed_tensor(rng, torch.from_numpy(np.array(value)))
        return changed.numpy() if isinstance(changed, Tensor) else changed
    return _any_value(rng)


def _changed_tensor(rng: Random, x: Tensor) -> object:
    kinds = (torch.float16, torch.float64, torch.int8, torch.int64, torch.bool, torch.complex64)
    filled = x.flatten().clone()
    if filled.is_floating_point():
        filled[:1] = rng.choice((math.nan, math.inf, -1e30, 0.0))
    elif filled.dtype == torch.int64:
        filled[:1] = rng.choice([n for n in NUMBERS if -(2**63) <= n < 2**63])
    filled = filled.view(x.shape)
    flat = x.reshape(-1)
    return rng.choice(
        (filled, filled, filled, x.to(rng.choice(kinds)), flat[:0], flat[:1], x[None], flat,
         torch.cat([flat, flat]), x.expand(1000, *x.shape), x.tolist(), torch.zeros(0, 2**40))
    )  # fmt: skip


def _any_value(rng: Random) -> object:
    nested = 0
    for _ in range(rng.choice((3, 40))):
        nested = [nested]
    return rng.choice(
        (None, True, False, rng.choice(NUMBERS), rng.choice(NUMBERS), 10**400, 0.5, math.nan,
         math.inf, rng.choice(NAMES), rng.choice(NAMES), b"\0", [], {}, nested, [0] * 1000,
         {"a": 1}, [[1, 2], [3]], [None], [rng.choice(NAMES)], {"0": []})
    )  # fmt: skip


# JSON


def dump_json(tree: object) -> bytes:
    return json.dumps(tree, default=str, skipkeys=True).encode()


def mutate_json(rng: Random, data: bytes) -> bytes:
    "Change a part of a JSON file, or its text."
    if rng.random() < 0.7:
        try:
            return dump_json(mutate_tree(rng, json.loads(data)))
        except (ValueError, RecursionError):
            return mutate_bytes(rng, data)
    n = rng.choice((100, 1000, 100_000))
    part = rng.choice(
        (b"[" * n, b"[" * n + b"]" * n, b'{"a":' * n, b"9" * n, b"-", b"NaN", b"1e999",
         b'"\\ud800"', b'"\\u0000"', b"\xff\xfe", b"\xef\xbb\xbf", b"\0", b'"', b"//", b"null",
         b'{"a":1,"a":2}')
    )  # fmt: skip
    if rng.random() < 0.2:
        return part
    values = list(re.finditer(rb'"[^"]*"|[-\d.eE+]+|\[|\{', data[:100_000]))
    if not values:
        return part + data
    found = rng.choice(values)
    return data[: found.start()] + part + data[found.end() :]


def mutate_safetensors(rng: Random, data: bytes) -> bytes:
    "Change the header of a .safetensors file, or its bytes."
    length = int.from_bytes(data[:8], "little")
    if rng.random() < 0.3 or length > len(data) - 8:
        return mutate_bytes(rng, data)
    header = mutate_json(rng, data[8 : 8 + length])
    claimed = rng.choice((0, 2**32, 2**63, length)) if rng.random() < 0.1 else len(header)
    return claimed.to_bytes(8, "little") + header + data[8 + length :]


CHECK = b', "check": '  # what `deepir.files.write_checked` puts before the checksum of a JSON file


def sign(files: dict[str, bytes]) -> dict[str, bytes]:
    "Make the checksums right in the JSON files of deepir."
    signed = dict(files)
    for name, data in files.items():
        if not name.endswith(".json") or not isinstance(data, bytes):
            continue
        matrix = files.get(
            name.removesuffix(".json") + ".npy", files.get(name.removesuffix(".json"))
        )
        if isinstance(matrix, bytes):
            data = re.sub(rb'"crc32": \d+', b'"crc32": %d' % zlib.crc32(matrix), data)
        text, found, _ = data.rpartition(CHECK)
        if found:
            data = text + CHECK + b"%d}" % zlib.crc32(text + b"}")
        signed[name] = data
    return signed


# Tables and lists


def mutate_text(rng: Random, data: bytes) -> bytes:
    "Change a cell or a line of a list or a table."
    text = data.decode("utf-8", "surrogateescape")
    lines = text.split("\n")
    i = rng.randrange(len(lines))
    name = rng.choice(NAMES)
    cells = re.split(r"([,;\t ]+)", lines[i])
    cells[rng.randrange(len(cells))] = rng.choice(
        (name, f'"{name}"', f'"{name}', "", str(rng.choice(NUMBERS)))
    )
    changed = rng.choice(
        (
            [*lines[:i], "".join(cells), *lines[i + 1 :]],
            [*lines[:i], "".join(cells), *lines[i + 1 :]],
            [*lines[:i], *lines[i + 1 :]],
            [*lines[:i], lines[i], *lines[i:]],
            [*lines[:i], *rng.choice((["#" + name], ["path,label"], ["path"], ["\0"], [","] * 9))],
            [line.replace(" ", ",") for line in lines],
            ["path,path,label", *lines],
            [lines[i][:500] * 2000],
            [lines[i][:500]] * 2000,
        )
    )
    newline = rng.choice(("\n", "\n", "\n", "\r\n", "\r", "\u2028"))
    return newline.join(changed).encode("utf-8", "surrogatepass")


# Pickles


def mutate_pickle(rng: Random, data: bytes) -> bytes:
    "Change, remove, repeat or insert operations of a pickle."
    try:
        positions = [position for _, _, position in pickletools.genops(data)]
        operations = [(op, value) for op, value, _ in pickletools.genops(data)]
    except Exception:  # already damaged
        return mutate_bytes(rng, data)
    ends = [*positions[1:], positions[-1] + 1]
    parts = [data[start:end] for start, end in zip(positions, ends)]
    rest = data[ends[-1] :]
    for _ in range(rng.choice((1, 1, 2, 5))):
        i = rng.randrange(len(parts))
        action = rng.random()
        if action < 0.4:
            value = operations[i][1] if i < len(operations) else None
            parts[i] = _changed_operation(rng, parts[i], value)
        elif action < 0.5 and len(parts) > 2:
            del parts[i]
            del operations[i : i + 1]
        elif action < 0.6:
            j = rng.randrange(len(parts))
            parts[i], parts[j] = parts[j], parts[i]
        elif action < 0.7:
            parts.insert(i, rng.choice(parts))
        else:
            parts.insert(i, rng.choice(rng.choice((_CALLS, _STEPS, _bombs()))))
    return b"".join(parts) + rest


def _changed_operation(rng: Random, part: bytes, value: object) -> bytes:
    if isinstance(value, bool) or value is None:
        return rng.choice(_STEPS)
    if isinstance(value, int):
        if part[:1] in (b"q", b"h", b"r", b"j"):  # places in the memo
            return rng.choice((b"q", b"h")) + bytes([rng.randrange(256)])
        return pickle.dumps(rng.choice((*NUMBERS, value + 1)), 2)[2:-1]
    if isinstance(value, str) and part[:1] in (b"X", b"\x8c", b"U", b"T", b"\x8d"):
        text = rng.choice((*NAMES, *_MODULES, "O", "|O8", "|S0", "<f8", "<U1000000000", "V9"))
        text = text.encode("utf-8", "replace")
        return b"X" + struct.pack("<I", len(text)) + text
    if part[:1] == b"c":
        return rng.choice(_CALLS)
    return part[:1] + _packed(rng, 4) + part[5:]


_MODULES = ("os", "system", "builtins", "eval", "numpy", "ndarray", "torch", "sklearn.x", "utils.y")


def _call(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


# Names that a pickle may ask for, some of them called
_CALLS = tuple(
    _call(module, name) + rest
    for module, name, rest in (
        ("os", "system", b"(" + _text("touch ../pwned") + b"tR"),
        ("builtins", "eval", b"(" + _text("open('../pwned', 'w')") + b"tR"),
        ("builtins", "getattr", b""),
        ("builtins", "bytearray", b"(J\xff\xff\xff\x7ftR"),
        ("numpy", "dtype", b"(" + _text("O") + b"tR"),
        ("numpy", "dtype", b"(" + _text("f8") + b"K\x00K\x01tR(K\x03" + _text("|")
         + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"),
        ("numpy", "ndarray", b"(J\xff\xff\xff\x3ftR"),
        ("numpy", "ndarray", b"}b"),
        ("numpy", "load", b"(" + _text("../canary.txt") + b"tR"),
        ("numpy.core.multiarray", "_reconstruct", b"}b"),
        ("numpy.core.multiarray", "scalar", b""),
        ("numpy._core.multiarray", "_reconstruct",
         b"(cnumpy\nndarray\n(J\xff\xff\xff\x7ftC\x01btR"),
        ("_codecs", "encode", b"(" + _text("a" * 1000) + _text("zip") + b"tR"),
        ("_codecs", "encode", b"(" + _text("a") + _text("rot13") + b"tR"),
        ("collections", "OrderedDict", b")R}" + _text("a") + b"K\x01sb"),
        ("torch", "load", b"(" + _text("../canary.txt") + b"tR"),
        ("torch._utils", "_rebuild_tensor_v2", b""),
        ("torch._utils", "_rebuild_tensor_v2", b"}" + _text("__code__") + b"Nsb"),
        ("torch._utils", "_rebuild_parameter", b""),
        ("torch", "FloatStorage", b"(J\xff\xff\xff\x3ftR"),
        ("torch", "Size", b"(](J\xff\xff\xff\x7fetR"),
        ("torch.nn.modules.linear", "Linear", b")\x81}b"),
        ("sklearn.decomposition._pca", "PCA", b")\x81}b"),
        ("sklearn.decomposition._pca", "PCA", b")\x81(](K\x01eb"),
        ("utils.x", "__class__", b")R"),
        ("utils.path", "a\nb", b""),
        ("dirtorch.x", "a.b.c", b")\x81}" + _text("__class__") + b"K\x01sb"),
        ("dirtorch.x", "a", b")\x81}" + _text("__dict__") + b"}sb"),
    )
)  # fmt: skip

# Operations that are rare, or that need something on the stack
_STEPS = (
    b"(", b"0", b"1", b"2", b"t", b"]", b"}", b")", b"N", b"a", b"e", b"s", b"u", b"b", b"R", b"Q",
    b"\x81", b"\x92", b"o", b"\x8f", b"\x90", b"\x91", b"\x93", b"\x94", b"\x97", b"\x98", b".",
    b"\x80\x09", b"P0\n", b"Ppersistent\n", b"ios\nsystem\n", b"F1e999\n", b"I01\n", b"L1L\n",
    b"V\\ud800\n", b"S'a\nb'\n", b"\x82\x01", b"\x84\x01\x00\x00\x00", b"h\xff", b"Q.", b"}b",
    b"](b",
)  # fmt: skip


@cache
def _bombs() -> tuple[bytes, ...]:
    "Operations that take far more memory or time than bytes."
    many = 2**31 - 1
    return (
        b"Nr" + struct.pack("<I", many),  # a memo with two thousand million places
        b"K\x01" + b"2\x86" * 40,  # pairs of pairs of pairs: 2^40 numbers to whoever walks them
        b"]q\x00" + b"(h\x00h\x00e" * 20,  # a list that holds itself
        b"]" * 100_000 + b"a" * 99_999,  # a list in a list in a list
        b"N" + b"\x85" * 100_000,  # the same with tuples
        b"\x96" + struct.pack("<Q", 2**33),  # a bytearray of 8 GB
        b"B" + struct.pack("<I", many),
        b"\x8e" + struct.pack("<Q", 2**40),
        b"\x8b" + struct.pack("<I", many),
        b"\x95" + struct.pack("<Q", 2**62),
        b"I" + b"9" * 100_000 + b"\n",  # quadratic time
        b"L" + b"9" * 1_000_000 + b"L\n",
        b"\x8b" + struct.pack("<i", 300_000) + b"\x7f" * 300_000,
    )


# Archives


@cache
def zeros(kind: str) -> bytes:
    "Return 300 MB of zeros, packed as in a .zip or in a PNG file."
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    first, block = (pack.compress(bytes(10**6)) + pack.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    data = first + block * (ZEROS // 10**6 - 1) + pack.flush()
    return data if kind == "zip" else b"\x78\xda" + data + struct.pack(">2H", ZEROS % 65521, 1)


ZEROS = 300 * 10**6


def mutate_zip(rng: Random, data: bytes) -> bytes:
    "Change a member of a .zip file, or its headers."
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as box:
            is_empty = not box.infolist()
            if is_empty or sum(info.file_size for info in box.infolist()) > MOST:
                return mutate_bytes(rng, data)
            members = [(info.filename, box.read(info)) for info in box.infolist()]
    except Exception:
        return mutate_bytes(rng, data)
    action = rng.random()
    if action < 0.25:
        return _zip_headers(rng, data)
    i = rng.randrange(len(members))
    name, content = members[i]
    if action < 0.75:
        # The pickle of a checkpoint says how the other members are read.
        pickles = [k for k, (n, _) in enumerate(members) if n.endswith(".pkl")]
        if pickles and rng.random() < 0.6:
            i = pickles[0]
            name, content = members[i]
        members[i] = name, mutate(rng, content, kind_of(name))
    elif action < 0.8:
        del members[i]
    elif action < 0.9:
        folder = name.rpartition("/")[0] + "/" if rng.random() < 0.5 else ""
        members[i] = folder + rng.choice(NAMES), content
    else:
        members.append((rng.choice((*NAMES, name, name.upper(), name + "/x", name + "/")), content))
    return make_zip(rng, members)


def make_zip(rng: Random, members: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as box:
        for name, content in members:
            info = zipfile.ZipInfo()
            info.filename = name.encode("utf-8", "replace").decode()[:60_000]
            if rng.random() < 0.02:
                info.external_attr = 0o120777 << 16  # a symbolic link
                content = rng.choice((b"../../canary.txt", b"/etc/passwd", b"a", content[:100]))
            packing = zipfile.ZIP_DEFLATED if rng.random() < 0.1 else zipfile.ZIP_STORED
            box.writestr(info, content, packing)
    data = out.getvalue()
    if rng.random() < 0.02:
        data = _zip_bomb(rng, members)
    return data


def _zip_bomb(rng: Random, members: list[tuple[str, bytes]]) -> bytes:
    "Return a .zip file whose first member is 300 MB of zeros."
    packed, size = zeros("zip"), ZEROS
    name = rng.choice(members)[0].encode("utf-8", "replace")[:1000]
    crc = _crc_of_zeros()
    fields = (20, 0, 8, 0, 33, crc, len(packed), size, len(name), 0)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", *fields) + name
    central = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, *fields, 0, 0, 0, 0, 0) + name
    start = len(local) + len(packed)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), start, 0)
    return local + packed + central + end


@cache
def _crc_of_zeros() -> int:
    crc = 0
    for _ in range(ZEROS // 10**6):
        crc = zlib.crc32(bytes(10**6), crc)
    return crc


# Fields of the headers of a .zip file: signature -> (offset, bytes) of each
_ZIP_FIELDS = {
    b"PK\3\4": ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
    b"PK\1\2": ((6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2),
                (38, 4), (42, 4)),
    b"PK\5\6": ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
    b"PK\6\6": ((4, 8), (24, 8), (32, 8), (40, 8), (48, 8)),
}  # fmt: skip


def _zip_headers(rng: Random, data: bytes) -> bytes:
    "Change fields of the headers, or name one member many times."
    headers = [m.start() for m in re.finditer(rb"PK(?:\x01\x02|\x03\x04|\x05\x06|\x06\x06)", data)]
    if not headers:
        return mutate_bytes(rng, data)
    if rng.random() < 0.1 and b"PK\1\2" in data:
        return _repeat_central(rng, data)
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2))):
        start = rng.choice(headers)
        offset, size = rng.choice(_ZIP_FIELDS[data[start : start + 4]])
        changed[start + offset : start + offset + size] = _packed(rng, size, "little")
    return bytes(changed)


def _repeat_central(rng: Random, data: bytes) -> bytes:
    "List the members of a .zip file a thousand times, all with the same contents."
    end = data.rindex(b"PK\5\6")
    size, start = struct.unpack("<2I", data[end + 12 : end + 20])
    times = min(1000, 65535 // max(1, data.count(b"PK\1\2")))
    central = data[start : start + size] * times
    count = data.count(b"PK\1\2", start, start + size) * times
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(central), start, 0)
    return data[:start] + central + tail


def mutate_tar(rng: Random, data: bytes) -> bytes:
    "Change headers of an unpacked .tar file, with their checksums, or add a member."
    headers = [i for i in range(0, len(data), 512) if data[i + 257 : i + 262] == b"ustar"]
    if not headers:
        return mutate_bytes(rng, data)
    if rng.random() < 0.3:
        start = rng.choice(headers)
        members = b"".join(rng.choices(_TAR_MEMBERS, k=rng.choice((1, 2, 3))))
        return data[:start] + members + data[start:]
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2))):
        start = rng.choice(headers)
        offset, size = rng.choice(
            ((0, 100), (100, 8), (108, 8), (124, 12), (124, 12), (136, 12), (156, 1), (156, 1),
             (157, 100), (257, 8), (345, 155))
        )  # fmt: skip
        if size >= 100:
            value = rng.choice(NAMES).encode("utf-8", "surrogateescape")[:size].ljust(size, b"\0")
        elif size == 1:
            value = rng.choice(
                (b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"S", b"L", b"K", b"x", b"g", b"V")
            )
        elif rng.random() < 0.3:
            value = b"\x80" + _packed(rng, size - 1, "big")
        else:
            value = b"%0*o" % (size - 1, abs(rng.choice(NUMBERS)) % 8 ** (size - 1)) + b"\0"
        changed[start + offset : start + offset + size] = value
        changed[start : start + 512] = _with_checksum(changed[start : start + 512])
    return bytes(changed)


def _with_checksum(header: bytes) -> bytes:
    total = sum(header[:148]) + sum(header[156:]) + 8 * 32
    return bytes(header[:148]) + b"%06o\0 " % total + bytes(header[156:])


def _tar_member(name: str, kind: bytes = b"0", link: str = "", content: bytes = b"") -> bytes:
    header = name.encode().ljust(100, b"\0") + b"0000777\0" + b"0000000\0" * 2
    header += b"%011o\0" % len(content) + b"00000000000\0" + b" " * 8 + kind
    header += link.encode().ljust(100, b"\0") + b"ustar\x0000"
    return _with_checksum(header.ljust(512, b"\0")) + content.ljust(
        -len(content) % 512 + len(content), b"\0"
    )


_TAR_MEMBERS = (
    _tar_member("../canary.txt", content=b"overwritten"),
    _tar_member("../../canary.txt", content=b"overwritten"),
    _tar_member("/tmp/pwned", content=b"written"),
    _tar_member("door", b"2", ".."),
    _tar_member("door/canary.txt", content=b"overwritten"),
    _tar_member("door", b"2", "../../outside"),
    _tar_member("door", b"1", "../../canary.txt"),
    _tar_member("door", content=b"overwritten"),
    _tar_member("photos", b"2", "."),
    _tar_member("pipe", b"6"),
    _tar_member("device", b"3"),
    _tar_member("photos/0.jpg/x", content=b"a file below a file"),
    _tar_member("", content=b"no name"),
    _tar_member(".", content=b"the folder itself"),
    _tar_member("loop", b"2", "loop"),
    _tar_member("long", b"L", content=b"a" * 5000),
    _tar_member("pax", b"x", content=b"30 path=../../canary.txt\n"),
    _tar_member("pax", b"x", content=b"20 size=99999999999\n"),
    _tar_member("pax", b"x", content=b"99999999999 path=a\n"),
    _tar_member("pax", b"x", content=b"22 GNU.sparse.map=1,2\n"),
    _tar_member("pax", b"g", content=b"17 hdrcharset=x\n"),
)


def _packed_as(pack: Callable, unpack: Callable) -> Callable:
    def mutate_packed(rng: Random, data: bytes) -> bytes:
        try:
            inside = unpack(data)
            if len(inside) > MOST:
                return mutate_bytes(rng, data)
        except Exception:
            return mutate_bytes(rng, data)
        if rng.random() < 0.02:
            inside = _tar_member("zeros").ljust(3 * 10**7, b"\0")
            return pack(inside)
        return pack(mutate_tar(rng, inside))

    return mutate_packed


# Arrays


def mutate_npy(rng: Random, data: bytes) -> bytes:
    "Change the header of an .npy file, or its numbers."
    found = re.match(rb"\x93NUMPY(.)\x00(..)(\{[^\n]*\n)", data, re.DOTALL)
    if not found or rng.random() < 0.3:
        return mutate_bytes(rng, data)
    header, rest = found[3].decode("latin1").strip(), data[found.end() :]
    n = rng.choice(NUMBERS)
    shape = rng.choice(
        (f"({n},)", f"({n}, 8)", f"(4, {n})", "()", f"({n}, 0)", f"({n}, {n})", "(4, 2, 4)")
    )
    descr = rng.choice(
        (
            "'|O'",
            "'<f8'",
            "'<f2'",
            "'>f4'",
            "'<U9'",
            "'|S0'",
            "[('a', '<f4')]",
            "'|V4'",
            "'<c8'",
            "'?'",
            "'<M8[s]'",
            "x",
            "'<f4" + "0" * 90 + "'",
        )
    )
    header = rng.choice(
        (
            re.sub(r"\(.*?\)", lambda _: shape, header),
            re.sub(r"\(.*?\)", lambda _: shape, header),
            re.sub(r"'<f\d'|'<i\d'", lambda _: descr, header),
            header.replace("False", rng.choice(("True", "1", "None", "[]"))),
            header.replace("shape", "shapes"),
            "[" * 1000,
            "__import__('os').system('touch ../pwned')",
            "{" + "'a':{" * 100,
            "(" * 90 + ")" * 90,
            "-" * 50_000 + "1",
        )
    )
    text = header.encode("latin1").ljust(64) + b"\n"
    size = len(text) if rng.random() < 0.8 else rng.choice(NUMBERS)
    return b"\x93NUMPY\x01\x00" + (size % 65536).to_bytes(2, "little") + text + rest


# Photos


def mutate_png(rng: Random, data: bytes) -> bytes:
    "Change chunks of a PNG file, with their checksums."
    chunks, i = [], 8
    while i + 12 <= len(data):
        (n,) = struct.unpack(">I", data[i : i + 4])
        chunks.append([data[i + 4 : i + 8], data[i + 8 : i + 8 + n]])
        i += 12 + n
    if not chunks:
        return mutate_bytes(rng, data)
    i = rng.randrange(len(chunks))
    kind, body = chunks[i]
    action = rng.random()
    if action < 0.3:
        fields = [b for k, b in chunks if k == b"IHDR"] or [bytes(13)]
        header = bytearray(fields[0])
        offset, size = rng.choice(
            ((0, 4), (4, 4), (0, 4), (4, 4), (8, 1), (9, 1), (10, 1), (11, 1), (12, 1))
        )
        values = rng.choice(
            (
                _packed(rng, size, "big"),
                bytes(size - 1) + bytes([rng.choice((0, 1, 2, 3, 4, 6, 8, 16))]),
            )
        )
        header[offset : offset + size] = values
        chunks[0] = [b"IHDR", bytes(header)]
    elif action < 0.5:
        chunks[i] = [kind, mutate_bytes(rng, body)]
    elif action < 0.6:
        del chunks[i]
    elif action < 0.7:
        chunks.insert(i, rng.choice(chunks))
    elif action < 0.75:
        chunks[i] = [
            rng.choice(
                (
                    b"IDAT",
                    b"PLTE",
                    b"tRNS",
                    b"acTL",
                    b"fcTL",
                    b"fdAT",
                    b"iCCP",
                    b"eXIf",
                    b"zzzz",
                    b"\xff\xff\0\0",
                )
            ),
            body,
        ]
    elif action < 0.8:
        chunks = [
            [k, zlib.compress(bytes(rng.choice((10, 10**6)))) if k == b"IDAT" else b]
            for k, b in chunks
        ]
    elif action < 0.82:
        width = struct.pack(">2I", *rng.choice(((17000, 17000), (60000, 5000), (9000, 9000))))
        chunks = [
            [b"IHDR", width + b"\x08\x00\x00\x00\x00"],
            [b"IDAT", zeros("png")],
            [b"IEND", b""],
        ]
    else:
        text = (
            zeros("png") if rng.random() < 0.05 else zlib.compress(bytes(rng.choice((100, 10**7))))
        )
        extra = rng.choice(
            ([b"zTXt", b"a\0\0" + text], [b"iTXt", b"a\0\1\0\0\0" + text],
             [b"iCCP", b"a\0\0" + text], [b"eXIf", _exif(rng)],
             [b"tRNS", rng.randbytes(rng.choice((0, 1, 6, 300)))],
             [b"PLTE", bytes(rng.choice((0, 1, 3, 768, 1000)))],
             [b"acTL", _packed(rng, 4) + _packed(rng, 4)],
             [b"fcTL", rng.randbytes(26)], [b"pHYs", _packed(rng, 4) * 2 + b"\1"], [b"gAMA", b""],
             [b"cHRM", b"\0"], [b"tEXt", b"a" * 10**6])
        )  # fmt: skip
        chunks.insert(rng.randrange(1, len(chunks) + 1), extra)
    out = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        out += (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )
    return out


def mutate_jpeg(rng: Random, data: bytes) -> bytes:
    "Change segments of a JPEG file."
    segments, i = [], 2
    while i + 4 <= len(data) and data[i] == 0xFF and data[i + 1] != 0xDA:
        n = int.from_bytes(data[i + 2 : i + 4], "big")
        segments.append(data[i : i + 2 + n])
        i += 2 + max(2, n)
    scan = data[i:]
    if not segments:
        return mutate_bytes(rng, data)
    i = rng.randrange(len(segments))
    action = rng.random()
    if action < 0.3:
        frames = [k for k, s in enumerate(segments) if s[1] in (0xC0, 0xC1, 0xC2)]
        i = rng.choice(frames) if frames else i
        frame = bytearray(segments[i])
        offset, size = rng.choice(
            ((5, 2), (7, 2), (5, 4), (4, 1), (9, 1), (10, 1), (11, 1), (12, 1))
        )
        frame[offset : offset + size] = _packed(rng, size, "big")
        segments[i] = bytes(frame)
    elif action < 0.5:
        body = mutate_bytes(rng, segments[i][4:])[:65533]
        segments[i] = segments[i][:2] + (len(body) + 2).to_bytes(2, "big") + body
    elif action < 0.55:
        segments[i] = segments[i][:2] + _packed(rng, 2, "big") + segments[i][4:]
    elif action < 0.65:
        segments.insert(i, segments[i]) if rng.random() < 0.5 else segments.pop(i)
    elif action < 0.75:
        segments[i] = segments[i][:1] + bytes([rng.randrange(0xC0, 0x100)]) + segments[i][2:]
    elif action < 0.8:
        scan = scan * rng.choice((2, 20, 500))  # many scans: each is decoded over the whole photo
    elif action < 0.85:
        scan = mutate_bytes(rng, scan)
    else:
        bodies = (
            (0xE1, b"Exif\0\0" + _exif(rng)), (0xE2, b"ICC_PROFILE\0\1\1" + rng.randbytes(200)),
            (0xE2, b"MPF\0" + _exif(rng)), (0xED, b"Photoshop 3.0\0" + b"8BIM" + rng.randbytes(30)),
            (0xEE, b"Adobe" + rng.randbytes(7)), (0xDD, _packed(rng, 2)), (0xFE, b"a" * 65000),
            (0xE0, b"JFIF\0" + rng.randbytes(9)),
            (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x " * 500),
        )  # fmt: skip
        marker, body = rng.choice(bodies)
        segments.insert(
            rng.randrange(len(segments)),
            b"\xff" + bytes([marker]) + (len(body) + 2).to_bytes(2, "big") + body,
        )
    return data[:2] + b"".join(segments) + scan


def _exif(rng: Random) -> bytes:
    "Return EXIF data that turn a photo, sound or damaged."
    order = rng.choice("<>")
    entries = [(0x0112, 3, 1, rng.choice((1, 3, 6, 8, 0, 9, 65535)) << (16 if order == ">" else 0))]
    entries += [
        (
            rng.randrange(65536),
            rng.randrange(14),
            rng.choice((0, 1, 4, 2**31, 2**32 - 1)),
            rng.choice((0, 8, 26, 2**31)),
        )
        for _ in range(rng.choice((0, 1, 5)))
    ]
    if rng.random() < 0.3:
        entries.append((0x8769, 4, 1, 8))  # a directory that leads to itself
    if rng.random() < 0.2:
        entries.append((0x0112, 2, 5, 8))
    body = struct.pack(order + "H", rng.choice((len(entries), len(entries), 65535)))
    for entry in entries:
        body += struct.pack(order + "2H2I", *entry)
    start = {"<": b"II*\0", ">": b"MM\0*"}[order]
    data = (
        start
        + struct.pack(order + "I", 8)
        + body
        + struct.pack(order + "I", rng.choice((0, 8, 2**31)))
    )
    return mutate_bytes(rng, data) if rng.random() < 0.3 else data


def mutate_tiff(rng: Random, data: bytes) -> bytes:
    "Change entries of the first directory of a TIFF file."
    order = "<" if data[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack(order + "I", data[4:8])
        (count,) = struct.unpack(order + "H", data[start : start + 2])
    except struct.error:
        return mutate_bytes(rng, data)
    if not 0 < count < 100:
        return mutate_bytes(rng, data)
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        entry = start + 2 + 12 * rng.randrange(count)
        offset, size = rng.choice(((0, 2), (2, 2), (4, 4), (8, 4), (8, 4), (8, 2)))
        small = rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34712, 50000)) % 256**size
        number = small if rng.random() < 0.4 else rng.choice(NUMBERS) % 256**size
        changed[entry + offset : entry + offset + size] = number.to_bytes(
            size, {"<": "little", ">": "big"}[order]
        )
    if rng.random() < 0.1:
        end = start + 2 + 12 * count
        changed[end : end + 4] = struct.pack(order + "I", rng.choice((start, 2**31, 4)))
    return bytes(changed)


def mutate_header(rng: Random, data: bytes) -> bytes:
    "Change numbers in the header of a photo of a simple format (BMP, GIF, WebP, PPM)."
    if data[:1] == b"P" and rng.random() < 0.7:
        return _write_digits(rng, data[:40]) + data[40:]
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        offset, size = rng.randrange(2, min(len(data), 64)), rng.choice((1, 2, 2, 4, 4))
        changed[offset : offset + size] = _packed(rng, size, "little")
    return bytes(changed)


# Any kind


def kind_of(name: str) -> str:
    "Return the kind of a file by its name."
    suffix = name.rpartition(".")[2].lower()
    return {
        "pt": "zip", "npz": "zip", "pkl": "pickle", "jpg": "jpeg", "jpeg": "jpeg", "tif": "tiff",
        "bmp": "header", "gif": "header", "webp": "header", "ppm": "header", "csv": "text",
        "tsv": "text", "txt": "text", "state": "zip", "previous": "zip",
        "pth": "zip",
    }.get(suffix, suffix)  # fmt: skip


MUTATIONS = {
    "bytes": mutate_bytes,
    "json": mutate_json,
    "text": mutate_text,
    "pickle": mutate_pickle,
    "zip": mutate_zip,
    "npy": mutate_npy,
    "tar": mutate_tar,
    "tgz": _packed_as(lambda data: gzip.compress(data, 5, mtime=0), gzip.decompress),
    "xz": _packed_as(lambda data: lzma.compress(data, preset=0), lzma.decompress),
    "bz2": _packed_as(bz2.compress, bz2.decompress),
    "png": mutate_png,
    "jpeg": mutate_jpeg,
    "tiff": mutate_tiff,
    "header": mutate_header,
    "safetensors": mutate_safetensors,
}


def mutate(rng: Random, data: bytes, kind: str) -> bytes:
    "Damage a file of a kind, knowing its format."
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if len(data) > MOST:
            break
        data = MUTATIONS.get(kind, mutate_bytes)(rng, data)
    return data
