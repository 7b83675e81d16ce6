"""Extraction killed with SIGKILL at random moments, against an extraction left alone (baseline).

    python benchmarks/kill.py PHOTOS [--kills 10] [--processes 1]

The same command is started again and again. All runs but the last are killed after a random number
of photos. Printed are the number of photos that were read more than once, which is the work that
was lost, and whether the folder is the same as the baseline's, byte for byte. With --processes 2
the command is run by torchrun, and all of its processes are killed.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHARD = 64
READ_AHEAD = 32  # photos in flight at most, see `deepir.extractor`

# Describe the photos of a folder, and add a letter to a log whenever one is opened.
SCRIPT = f"""
import sys

import torch

from deepir.core import seeded
from deepir.datasets import ImageFolder
from deepir.features import extract
from deepir.nets import create_model

photos, store, log = sys.argv[1:]


class CountedFolder(ImageFolder):
    def open(self, i):
        with open(log, "a") as file:
            file.write("x")
        return super().open(i)


torch.set_num_threads(1)
with seeded(0):
    net = create_model("tiny", 128)
settings = dict(trfs="Scale(64)", max_size=None, device="cpu")
extract(CountedFolder(photos), net, store, progress=False, shard={SHARD}, **settings)
"""


class Job:
    "The command that describes photos, with a store and a log of its own."

    def __init__(self, script: Path, photos: str, folder: Path, processes: int):
        self.script, self.photos, self.processes = script, photos, processes
        self.store, self.log = folder, folder.with_suffix(".log")

    def start(self) -> subprocess.Popen:
        "Start the command."
        launcher = []
        if self.processes > 1:
            port = random.randint(20000, 40000)
            launcher = ["-m", "torch.distributed.run"]
            launcher += [f"--nproc_per_node={self.processes}", f"--master_port={port}"]
        command = [sys.executable, *launcher, self.script, self.photos, self.store, self.log]
        return subprocess.Popen(
            command,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def finish(self) -> None:
        "Run the command to its end."
        code = self.start().wait()
        if code != 0:
            sys.exit(f"the extraction of {self.photos} failed with exit code {code}")

    def kill_after(self, photos: int) -> None:
        "Start the command and kill it once it has read so many photos."
        target = self.photos_read() + photos
        process = self.start()
        while process.poll() is None and self.photos_read() < target:
            time.sleep(0.002)
        kill_all(self.script)
        process.wait()

    def photos_read(self) -> int:
        "Return how many photos have been read so far, by all runs."
        return self.log.stat().st_size if self.log.exists() else 0

    def files(self) -> dict[str, bytes]:
        "Return the contents of the store."
        paths = [path for path in self.store.iterdir() if not path.name.startswith(".lock")]
        return {path.name: path.read_bytes() for path in paths}


def kill_all(script: Path) -> None:
    "Kill every process that runs a script; torchrun starts its workers in sessions of their own."
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(script) in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)
        except OSError:  # it has ended in the meantime
            continue


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("photos")
    p.add_argument("--kills", type=int, default=10)
    p.add_argument("--processes", type=int, default=1)
    args = p.parse_args()
    random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "run.py"
        script.write_text(SCRIPT)
        baseline = Job(script, args.photos, Path(folder) / "baseline", args.processes)
        baseline.finish()
        n = baseline.photos_read()
        job = Job(script, args.photos, Path(folder) / "killed", args.processes)
        for _ in range(args.kills):
            job.kill_after(random.randint(1, max(1, n // args.kills)))
        job.finish()
        read_again = job.photos_read() - n
        is_same = job.files() == baseline.files()
    print(
        f"{n} photos, shards of {SHARD}, {args.processes} processes, killed {args.kills} times: "
        f"{read_again} photos were read again, {read_again / args.kills / args.processes:.0f} for "
        f"each kill and process, of which at most {SHARD} had been described and {READ_AHEAD} "
        "only read ahead"
    )
    print("the folder is", "the same, byte for byte" if is_same else "NOT the same")


if __name__ == "__main__":
    main()
