"""Jobs that are killed at random moments, or lose their power, against the same jobs left alone.

    python benchmarks/kill.py [--kills 500] [--cuts 200] [--seed 0] [--only extract,train]

A job is started, killed with SIGKILL, started again, and so on until it finishes. Half of the kills
come at a random time, the other half at a random operation on the disk (a rename, a deletion, an
fsync). For a power cut, the folder is then put into a state that a disk may have without power, see
`powercut.py`. At the end, the results must be those of a job that was never disturbed, and nothing
else may be left in the folder. The time between saves, 15 or 20 seconds for users, is SAVE_SECONDS
here, so that jobs can be short. The exit code is 1 if anything is wrong.

Linux only: processes are forked from one that has imported everything, so that starting a job takes
milliseconds.
"""

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import pickle
import random
import select
import shutil
import signal
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import mean
from typing import ClassVar

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from PIL import Image
from powercut import Recorder, Snapshot, cut_power

from deepir import collection, core, extractor, train
from deepir.cli.convert import deepir_convert
from deepir.cli.extract import deepir_extract
from deepir.collection import Collection
from deepir.datasets import ImageFolder
from deepir.downloads import fetch
from deepir.extractor import Extractor
from deepir.nets import create_model
from deepir.pickles import load_torch
from deepir.store import Features

SAVE_SECONDS = 0.05
PATIENCE = 120.0  # seconds until a run that is left alone counts as hung

# What the jobs do


def draw_photos(folder: Path, count: int, seed: int = 0, landmarks: int = 6) -> None:
    "Draw small photos of noise, in a subfolder for each landmark."
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 200, (landmarks, 48, 64, 3))
    for i in range(count):
        path = folder / str(i % landmarks) / f"{seed}-{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = base[i % landmarks] + rng.integers(0, 56, (48, 64, 3))
        height = 48 if i % 3 else 40  # two sizes
        Image.fromarray(pixels[:height].astype(np.uint8)).save(path)


def small_extractor() -> Extractor:
    with core.seeded(0):
        net = create_model("tiny", 16)
    return Extractor(net, max_size=None, device="cpu", threads=0, batch_size=4)


def is_lock(path: Path) -> bool:
    return "lock" in path.name


def hashes(root: Path) -> dict[str, str]:
    "Return a hash of each file below a folder, without locks."
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not is_lock(path)]
    return {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def hash_of(data) -> str:
    "Return a hash of plain data and tensors."
    digest = hashlib.sha256()

    def add(x):
        if isinstance(x, dict):
            for key, value in x.items():
                digest.update(repr(key).encode())
                add(value)
        elif isinstance(x, (list, tuple)):
            digest.update(f"{len(x)} values".encode())
            for value in x:
                add(value)
        elif isinstance(x, torch.Tensor):
            digest.update(repr((x.dtype, x.shape)).encode() + x.contiguous().numpy().tobytes())
        else:
            digest.update(repr(x).encode())

    add(data)
    return digest.hexdigest()


class Job:
    "Work in a folder that can be started again and again until it is done."

    unit = "photos"  # of work
    allowed_loss = 0.25  # share of the work that a kill may cost
    goes_on = True  # started again when it is done, it does nothing

    def prepare(self, inputs: Path) -> None:
        "Make what the job reads."

    def run(self, root: Path, tick: Callable[[str], None]) -> None:
        "Work; call `tick` with the name of each unit of work."
        raise NotImplementedError

    def results(self, root: Path) -> dict[str, str]:
        "Return what must be the same as without kills, by name."
        return hashes(root)


def count_photos(tick: Callable[[str], None]) -> None:
    "Let extractors tick whenever they read a photo."
    make_loader = Extractor._loader

    def loader(self, dataset):
        load = make_loader(self, dataset)

        def ticking(i):
            tick(str(dataset.keys[i]))
            return load(i)

        return ticking

    Extractor._loader = loader
    extractor._Found.seconds = SAVE_SECONDS


class Extract(Job):
    "`Extractor.extract` into a store."

    def prepare(self, inputs):
        self.photos = inputs
        draw_photos(inputs, 480)

    def run(self, root, tick):
        count_photos(tick)
        dataset = ImageFolder(self.photos)
        small_extractor().extract(dataset, root / "store", progress=False, shard=100)


class Train(Job):
    "`train` with a checkpoint and evaluations."

    unit = "steps"
    options: ClassVar = {"loss": "ap", "steps": 40, "eval_every": 20}

    def prepare(self, inputs):
        self.photos = inputs
        draw_photos(inputs, 48)

    def run(self, root, tick):
        train._SaveClock.seconds, train._SaveClock.share = SAVE_SECONDS, 0.5
        make_step = train._train_step

        def step(*args):
            tick(f"step {args[6]}")
            return make_step(*args)

        train._train_step = step
        extractor._Found.seconds = SAVE_SECONDS
        with core.seeded(0):
            net = create_model("tiny", 16)
        dataset = ImageFolder(self.photos)
        train.train(
            net,
            dataset,
            dataset,
            checkpoint=root / "m.pt",
            p=4,
            k=3,
            trfs="RandomResizedCrop(32)",
            save_every=1000,
            threads=0,
            device="cpu",
            progress=False,
            **self.options,
        )

    def results(self, root):
        # The state before the last one depends on when it was saved. The bytes of a pickle depend
        # on which equal strings are the same object, so states are compared by what they hold.
        found = hashes(root)
        found.pop("m.pt.state.previous", None)
        for name in {"m.pt", "m.pt.state"} & found.keys():
            found[name] = hash_of(load_torch(root / name))
        return found


class Triplets(Train):
    "The same with mined triplets."

    options: ClassVar = {"loss": "triplet", "steps": 40, "mine_every": 12}


class Index(Job):
    "`Collection` of a folder, twice: with photos that came, went and were renamed."

    def prepare(self, inputs):
        self.first, self.second = inputs / "first", inputs / "second"
        draw_photos(self.first, 160)
        shutil.copytree(self.first, self.second)
        for path in sorted(self.second.rglob("*.png"))[::5]:
            path.unlink()
        for path in sorted(self.second.rglob("*.png"))[::7]:
            path.rename(path.with_name(f"renamed {path.name}"))
        draw_photos(self.second, 80, seed=1)

    def run(self, root, tick):
        phase = root / "second phase"  # what the world did in between, which no kill undoes
        count_photos(tick)
        collection._SHARD = 64
        options = {"index": root / "index", "progress": False}
        if not phase.exists():
            Collection(self.first, small_extractor(), **options)
            phase.mkdir()
        for _ in range(2):  # the second time, it may tidy up
            Collection(self.second, small_extractor(), **options)

    def results(self, root):
        found = Collection(self.second, small_extractor(), index=root / "index", progress=False)
        order = np.argsort(found.keys)
        queries = sorted(self.second.rglob("*.png"))[::20]
        answers = [
            [(round(m.score, 5), m.path.name) for m in found.search(q, k=5)] for q in queries
        ]
        left = [name for name in hashes(root) if ".deepir-" in name or ".part" in name]
        return {
            "keys": hash_of([found.keys[i] for i in order]),
            "descriptors": hash_of(found.features.desc[:][torch.from_numpy(order)]),
            "searches": hash_of(answers),
            "failed": hash_of(found.failed),
            **dict.fromkeys(left, "left over"),
        }


class Handler(BaseHTTPRequestHandler):
    "Answer with a file of the server, slowly, from the byte that is asked for."

    block = 2**14

    def do_GET(self):
        data = self.server.files[self.path]
        asked = self.headers.get("Range", "bytes=0-")
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(data):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", f'"{len(data)}"')
        self.end_headers()
        for first in range(start, len(data), self.block):
            with contextlib.suppress(OSError):
                self.wfile.write(data[first : first + self.block])
                self.server.tick(f"{self.path} block {first // self.block}")
                time.sleep(0.004)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    "Serve files from memory, in a process of its own."

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def tick(self, name: str) -> None:
        os.write(self.ticks, name.encode() + b"\n")

    def handle_error(self, *args):  # of clients that were killed
        pass


class Download(Job):
    "`download` of a data set and of a checkpoint, with unpacking, from a slow server."

    unit = "blocks of 16 kB"

    def prepare(self, inputs):
        draw_photos(inputs / "jpg", 60)
        names = []
        for i, path in enumerate(sorted((inputs / "jpg").rglob("*.png"))):
            names.append(f"photo_{i:06}")
            Image.open(path).save(inputs / f"{names[-1]}.jpg", quality=95)
        lists = {"easy": [1], "hard": [2], "junk": [3], "bbx": [0, 0, 20, 20]}
        truth = {"imlist": names[1:], "qimlist": names[:1], "gnd": [lists]}
        with tarfile.open(inputs / "photos.tgz", "w:gz") as archive:
            for name in names:
                archive.add(inputs / f"{name}.jpg", f"{name}.jpg")
        (inputs / "truth.pkl").write_bytes(pickle.dumps(truth))
        small_extractor().save(inputs / "model.pt")
        with zipfile.ZipFile(inputs / "model.zip", "w") as archive:
            archive.write(inputs / "model.pt", "model.pt")
        files = {p.name: p.read_bytes() for p in inputs.iterdir() if p.is_file()}
        self.server = Server({f"/{name}": data for name, data in files.items()})
        for source, name in (
            ("oxford5k/gnd_roxford5k.pkl", "truth.pkl"),
            ("oxford5k/oxbuild_images-v1.tgz", "photos.tgz"),
            ("checkpoints/Resnet50-AP-GeM.pt.zip", "model.zip"),
        ):
            sha256 = hashlib.sha256(files[name]).hexdigest()
            url = f"{self.server.url}/{name}"
            fetch.sources[source] = fetch.Source([url], len(files[name]), sha256)

    def serve(self, ticks: Path) -> int:
        "Start the server in a process of its own, which counts; return the process."
        pid = os.fork()
        if pid == 0:
            self.server.ticks = os.open(ticks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            self.server.serve_forever(0.05)
        return pid

    def run(self, root, tick):
        fetch._Part.seconds = SAVE_SECONDS
        for name in ("ROxford5K", "Resnet50-AP-GeM"):
            fetch.download(name, root, progress=False, wait=0.05)


class Convert(Job):
    "`deepir_convert`, `Features.save` and `deepir_extract`."

    goes_on = False  # the commands do their work again
    allowed_loss = 1.0  # all photos are described within the time between two saves

    def prepare(self, inputs):
        self.photos, self.model = inputs / "photos", inputs / "model.pt"
        draw_photos(self.photos, 120)
        small_extractor().save(self.model)

    def run(self, root, tick):
        count_photos(tick)
        deepir_convert([str(self.model), str(root / "converted.pt")])
        desc = core.l2_normalize(torch.rand(2000, 16, generator=torch.Generator().manual_seed(0)))
        Features(desc, [str(i) for i in range(2000)]).save(root / "feats.npy")
        done = root / "o.npy"
        arguments = ["--dataset", self.photos, "--checkpoint", root / "converted.pt"]
        arguments += ["--gpu", "-1", "--output", done]
        deepir_extract([str(a) for a in arguments])


JOBS = {
    "extract": Extract(),
    "train": Train(),
    "triplets": Triplets(),
    "index": Index(),
    "download": Download(),
    "convert": Convert(),
}

# Processes


class Child:
    "A forked process that runs a function; what it prints goes into a file."

    def __init__(self, function: Callable, output: Path, recorder: Recorder | None = None):
        sys.stdout.flush()
        self.output, self.began = output, time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(handle, 1)
                os.dup2(handle, 2)
                warnings.simplefilter("always")
                if recorder:
                    recorder.install()
                function()
                code = 0
            except SystemExit as e:
                print(e.code, file=sys.stderr)
                code = int(bool(e.code))
            except BaseException:
                traceback.print_exc()
            finally:
                with contextlib.suppress(Exception):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(code)
        self.handle = os.pidfd_open(self.pid)

    def wait(self, seconds: float) -> bool:
        "Wait for the end of the process; False if it has not ended in time."
        return bool(select.select([self.handle], [], [], max(0, seconds))[0])

    def end(self) -> int:  # its exit code; -9 if it was killed
        "Kill the process if it is still there, and take it off the list of processes."
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.handle)
        self.seconds = time.monotonic() - self.began
        return os.waitstatus_to_exitcode(status)


def in_child(function: Callable, folder: Path):
    "Return what a function returns in a forked process: plain data."
    answer = folder / "answer.json"

    def run():
        answer.write_text(json.dumps(function()))

    child = Child(run, folder / "output.txt")
    if not child.wait(PATIENCE) or child.end() != 0:
        return {"error": (folder / "output.txt").read_text()[-300:]}
    return json.loads(answer.read_text())


# The campaign


@dataclass
class Tally:
    "What happened to one job."

    kills: int = 0
    cuts: int = 0
    series: int = 0
    faults: dict[str, list[str]] = field(default_factory=dict)  # kind -> what happened
    lost: list[float] = field(default_factory=list)  # seconds of work done again, for each kill
    lost_by_cut: list[float] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)  # that a run printed after a power cut

    def add(self, kind: str, text: str) -> None:
        self.faults.setdefault(kind, []).append(text)


FAULTS = ("different", "left over", "stopped", "hung", "traceback", "too much lost")


class Campaign:
    "One job, disturbed."

    def __init__(self, name: str, job: Job, folder: Path, rng: random.Random, keep: Path | None):
        self.name, self.job, self.folder, self.rng, self.keep = name, job, folder, rng, keep
        self.root, self.ticks = folder / "root", folder / "ticks"
        self.tally, self.server = Tally(), None
        inputs = folder / "inputs"
        inputs.mkdir(parents=True)
        job.prepare(inputs)
        if isinstance(job, Download):
            self.server = job.serve(self.ticks)

    def close(self) -> None:
        if self.server:
            os.kill(self.server, signal.SIGKILL)
            os.waitpid(self.server, 0)

    def work(self) -> None:
        "Do the job; in a child."
        handle = os.open(self.ticks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.job.run(self.root, lambda name: os.write(handle, name.encode() + b"\n"))

    def start(self, die_at: int | None = None, is_logging: bool = False) -> Child:
        self.memory = self.folder / "memory"
        shutil.rmtree(self.memory, ignore_errors=True)
        self.memory.mkdir()
        self.read_before = len(self.read_ticks())
        recorder = Recorder(self.root, self.memory, die_at, is_logging)
        function = self.work
        if die_at is None and not is_logging:

            def function():
                self.work()
                facts = {"operations": recorder.count, "modules": list(sys.modules)}
                (self.folder / "facts.json").write_text(json.dumps(facts))

        return Child(function, self.folder / "said.txt", recorder)

    def read_ticks(self) -> list[str]:
        return self.ticks.read_text().splitlines() if self.ticks.exists() else []

    def measure(self) -> None:
        "Do the job once, undisturbed."
        for _ in range(2):  # the second time, every module is there
            shutil.rmtree(self.root, ignore_errors=True)
            self.root.mkdir()
            child = self.start()
            if not child.wait(PATIENCE) or child.end() != 0:
                sys.exit(f"{self.name}: fails without being disturbed:\n{self.said()}")
            facts = json.loads((self.folder / "facts.json").read_text())
            for module in facts["modules"]:
                with contextlib.suppress(Exception):
                    importlib.import_module(module)
        self.units = len(self.read_ticks()) - self.read_before
        self.seconds, self.operations = child.seconds, facts["operations"]
        self.expected = self.results()
        if "error" in self.expected:
            sys.exit(f"{self.name}: no results: {self.expected['error']}")
        print(
            f"{self.name}: {self.units} {self.job.unit} in {self.seconds:.1f} s, "
            f"{self.operations} operations on the disk",
            flush=True,
        )

    def is_done(self) -> bool:
        return self.expected.items() <= self.results().items()

    def results(self) -> dict[str, str]:
        return in_child(partial(self.job.results, self.root), self.folder)

    def said(self) -> str:
        return (self.folder / "said.txt").read_text(errors="replace")

    def disturb(self, count: int, with_cuts: bool) -> None:
        "Do the job again and again until it was killed so many times."
        done = 0
        while done < count:
            shutil.rmtree(self.root)
            self.root.mkdir()
            self.tally.series += 1
            done += self.one_series(count - done, with_cuts)

    def one_series(self, most: int, with_cuts: bool) -> int:
        "Do the job once with kills; return their number."
        kills, done, cut = 0, set(), None
        self.history = []
        while True:
            before = Snapshot.of(self.root) if with_cuts else None
            is_last = kills == min(most, 30)  # more would hide that a job goes on
            code = self.one_run(with_cuts, undisturbed=is_last)
            again = self.count_again(done)
            self.history.append((code, again, self.said()[-500:]))
            if kills:
                self.note_loss(again, bool(cut), with_cuts)
            if code is None:
                self.tally.add("hung", self.said()[-300:])
                return kills
            if code == 0:
                break
            if code != -signal.SIGKILL:
                self.fault("stopped", self.said()[-600:])
                return kills + 1
            kills += 1
            self.tally.kills += not with_cuts
            self.tally.cuts += with_cuts
            if with_cuts:
                cut = cut_power(self.root, self.memory, before, self.rng)
                self.history.append(("cut", cut))
            if not self.job.goes_on and self.is_done():
                return kills  # all but its last words
        self.compare()
        if with_cuts and kills < most:  # a job that is done, and then the power fails
            kills += 1
            self.tally.cuts += 1
            self.history.append(
                ("cut at the end", cut_power(self.root, self.memory, before, self.rng))
            )
            self.compare(with_rest=False)
            if self.job.goes_on:
                code = self.one_run(False, undisturbed=True)
                self.note_loss(self.count_again(done), True, True)
                if code != 0:
                    self.fault("stopped", self.said()[-600:])
                else:
                    self.compare()
        return kills

    def one_run(self, with_cuts: bool, undisturbed: bool) -> int | None:
        "Start the job and kill it at some moment; return its exit code, None if it hangs."
        at_operation = self.rng.random() < 0.5
        die_at = self.rng.randint(1, self.operations) if at_operation else None
        if undisturbed:
            die_at = None
        child = self.start(die_at, with_cuts)
        if undisturbed or at_operation:
            hangs = not child.wait(PATIENCE)
        else:
            child.wait(self.seconds * self.rng.random() * self.rng.choice([0.3, 1.0]))
            hangs = False
        code = child.end()
        return None if hangs else code

    def count_again(self, done: set[str]) -> int:
        "Return how much of the last run's work had been done before; add it to what is done."
        new = self.read_ticks()[self.read_before :]
        again = sum(name in done for name in new)
        done.update(new)
        return again

    def note_loss(self, again: int, was_cut: bool, with_cuts: bool) -> None:
        seconds = again * self.seconds / max(1, self.units)
        (self.tally.lost_by_cut if with_cuts else self.tally.lost).append(seconds)
        if with_cuts:
            self.tally.lines.append(len([line for line in self.said().splitlines() if line]))
        if "Traceback" in self.said():
            self.fault("traceback", self.said()[-600:])
        if again > self.job.allowed_loss * self.units and seconds > 2 * SAVE_SECONDS:
            lost = f"{again} of {self.units} {self.job.unit}, {seconds:.2f} s"
            self.fault("too much lost", lost)

    def compare(self, with_rest: bool = True) -> None:
        "Compare the results, and what else is there, with those of the job that was left alone."
        found = self.results()
        if "error" in found:
            self.fault("stopped", found["error"])
            return
        left = sorted(found.keys() - self.expected.keys())
        if left and with_rest:
            self.fault("left over", ", ".join(left))
        differing = [n for n, value in self.expected.items() if found.get(n) != value]
        if differing:
            self.fault("different", ", ".join(differing))

    def fault(self, kind: str, text: str) -> None:
        "Count a fault, and keep the folder for whoever looks into it."
        self.tally.add(kind, text)
        if self.keep is None:
            return
        place = self.keep / f"{self.name}-{kind.replace(' ', '_')}-{len(self.tally.faults[kind])}"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.root, place / "root", dirs_exist_ok=True)
        lines = [text, *map(repr, self.history)]
        (place / "history.txt").write_text("\n".join(lines))


def print_table(tallies: dict[str, Tally]) -> None:
    "Print what happened, a row for each job."
    print("\n| job | kills | cuts | " + " | ".join(FAULTS) + " | lost by a kill, s | by a cut, s |")
    print("| --- " + "| ---: " * (len(FAULTS) + 4) + "|")

    def seconds(values):
        return f"{mean(values):.2f}, at most {max(values):.2f}" if values else "-"

    for name, tally in tallies.items():
        counts = [len(tally.faults.get(kind, [])) for kind in FAULTS]
        cells = [name, tally.kills, tally.cuts, *counts]
        cells += [seconds(tally.lost), seconds(tally.lost_by_cut)]
        print("| " + " | ".join(map(str, cells)) + " |")
    print(f"\nTime between saves in these jobs: {SAVE_SECONDS} s.")
    for name, tally in tallies.items():
        for kind, texts in tally.faults.items():
            print(f"\n{name}, {kind}, {len(texts)} times, first:\n{texts[0]}")


def share(total: int, parts: int) -> list[int]:
    "Share a number among some parts as evenly as possible."
    return [total // parts + (i < total % parts) for i in range(parts)]


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--kills", type=int, default=500, help="of all jobs (default: %(default)s)")
    p.add_argument("--cuts", type=int, default=200, help="of all jobs (default: %(default)s)")
    p.add_argument("--seed", type=int, default=None, help="of the kills (default: a random one)")
    p.add_argument("--only", help=f"some of {','.join(JOBS)}")
    p.add_argument("--keep", type=Path, help="a folder for what was found after a fault")
    args = p.parse_args()
    seed = random.randrange(10**6) if args.seed is None else args.seed
    names = args.only.split(",") if args.only else list(JOBS)
    if unknown := set(names) - JOBS.keys():
        p.error(f"unknown jobs: {', '.join(sorted(unknown))}; known: {', '.join(JOBS)}")
    if sys.version_info < (3, 11):
        p.error("Python 3.11 or newer is needed: older ones hide what they do with files")
    print(f"seed {seed}", flush=True)
    torch.set_num_threads(1)
    tallies, kills, cuts = {}, share(args.kills, len(names)), share(args.cuts, len(names))
    memory = "/dev/shm"  # a disk in memory: syncing takes no time there
    with tempfile.TemporaryDirectory(dir=memory if os.path.isdir(memory) else None) as folder:
        for name, n_kills, n_cuts in zip(names, kills, cuts):
            rng = random.Random(f"{seed} {name}")
            campaign = Campaign(name, JOBS[name], Path(folder) / name, rng, args.keep)
            try:
                campaign.measure()
                began = time.monotonic()
                campaign.disturb(n_kills, with_cuts=False)
                campaign.disturb(n_cuts, with_cuts=True)
                print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
            finally:
                campaign.close()
            tallies[name] = campaign.tally
    print_table(tallies)
    print(f"seed {seed}")
    sys.exit(any(tally.faults for tally in tallies.values()))


if __name__ == "__main__":
    main()
