"""Extraction killed with -9 at random moments, against an extraction that was left alone (baseline).

    python benchmarks/kill.py PHOTOS [--kills 10] [--processes 1]

Each run is started with the same command; the first ones are killed after a random time, the last one ends. Printed: how many photos were
described in all against how many there are (the work that was lost), and whether the folder is the same byte for byte.
With --processes 2 the command is `torchrun`, and all of its processes are killed.
"""
import argparse, os, random, signal, subprocess, sys, tempfile, time
from pathlib import Path

SHARD = 64
SCRIPT = f'''
import sys, torch
from deepir.core import seed_everything
from deepir.datasets import ImageFolder
from deepir.features import extract
from deepir.nets import create_model
torch.set_num_threads(1); seed_everything(0)
class Counted(ImageFolder):
    def open(self, i):
        with open(sys.argv[3], "a") as f: f.write("x")
        return super().open(i)
extract(Counted(sys.argv[1]), create_model("tiny", 128), "Scale(64)", store=sys.argv[2], shard={SHARD}, device="cpu", progress=False)
'''


def command(script, photos, store, log, processes):
    launcher = [] if processes == 1 else ['-m', 'torch.distributed.run', f'--nproc_per_node={processes}', f'--master_port={random.randint(20000, 40000)}']
    return [sys.executable, *launcher, script, photos, store, log]


def start(*args): return subprocess.Popen(command(*args), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_all(script):
    "Every process that runs the script: torchrun starts its workers in sessions of their own."
    for p in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            if script.encode() in p.read_bytes().split(b'\0'): os.kill(int(p.parent.name), signal.SIGKILL)
        except (OSError, ProcessLookupError): pass  # it is gone already


def read_so_far(log): return Path(log).stat().st_size if Path(log).exists() else 0


def files(folder): return {p.name: p.read_bytes() for p in Path(folder).iterdir() if not p.name.startswith('.lock')}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('photos')
    p.add_argument('--kills', type=int, default=10)
    p.add_argument('--processes', type=int, default=1)
    args = p.parse_args()
    random.seed(0)
    with tempfile.TemporaryDirectory() as d:
        script = f'{d}/run.py'
        Path(script).write_text(SCRIPT)
        assert start(script, args.photos, f'{d}/whole', f'{d}/whole.log', args.processes).wait() == 0
        n, read = read_so_far(f'{d}/whole.log'), lambda: read_so_far(f'{d}/killed.log')
        for _ in range(args.kills):
            target = read() + random.randint(1, max(1, n//args.kills))
            process = start(script, args.photos, f'{d}/killed', f'{d}/killed.log', args.processes)
            while process.poll() is None and read() < target: time.sleep(.002)
            kill_all(script)
            process.wait()
        assert start(script, args.photos, f'{d}/killed', f'{d}/killed.log', args.processes).wait() == 0
        again = read() - n
        print(f'{n} photos, shards of {SHARD}, {args.processes} processes, killed {args.kills} times: {again} photos were read again, '
              f'{again/args.kills/args.processes:.0f} a kill and process, of which at most {SHARD} had been described and 32 only read ahead')
        print('the folder is', 'the same, byte for byte' if files(f'{d}/whole') == files(f'{d}/killed') else 'NOT the same')


if __name__ == '__main__': main()
