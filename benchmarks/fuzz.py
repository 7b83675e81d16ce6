"""Damaged and hostile files of every kind that deepir reads, by the thousand (baseline: no fault).

    python benchmarks/fuzz.py [--inputs 100000] [--seed 0] [--only photos,truths] [--workers 2]
    python benchmarks/fuzz.py --seed 0 --only photos --number 1234   # one input, its traceback
    python benchmarks/fuzz.py --inputs 0 --replay nbs/fixtures/hostile.jsonl   # those kept

Sound files of each kind are made, then damaged: blindly, or knowing their format and with right
checksums. An input depends on the seed, the format and its number only. Processes with limits on
memory, file size and time read the inputs in a sandbox. Each input must be read, or be refused by
one line that names the file; it must change no other file, run no code, open no connection, take
little memory and little time. A file that deepir itself wrote with checksums gives its contents or
is refused. Everything else is a fault. Faults are printed by the place in the code that they come
from, and kept with `--keep FILE`. The exit status is 1 if there are any.
"""

import argparse
import base64
import contextlib
import faulthandler
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import stat
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import sklearn.decomposition  # noqa: F401 - deepir imports it when it is needed
import torch
from fuzz_formats import (
    FORMATS,
    SHARED,
    TIME,
    Altered,
    Format,
    Sample,
    digest,
    encoded,
    misbehaviour,
    small_photo,
)
from fuzz_mutations import (
    NAMES,
    kind_of,
    mutate,
    mutate_bytes,
    mutate_json,
    mutate_tree,
    sign,
    splice,
    zeros,
)

from deepir.core import progress_bar
from deepir.images import ImageError

MB = 10**6
SECONDS = 5.0  # of an input; twice that when it is tried again alone
ROOM = 2 * 2**30  # address space of a process beside what it begins with
FILE_SIZE = 256 * MB
LONGEST = 500  # characters of a message, not counting names of files

CLASSES = (
    "exception",  # another exception than ValueError and OSError
    "unnamed",  # a message that doesn't name the file
    "message",  # of several lines, or too long
    "altered",  # read, but the contents are not those that were written
    "crash",  # the process died
    "timeout",
    "memory",
    "forbidden",  # ran a program, opened a connection or another file
    "changed",  # a file changed or appeared that is none of the input's business
    "warning",  # with control characters
)


# Inputs


@dataclass
class Case:
    "An input: files, some of them damaged."

    format: str
    sample: str  # key of the sample that it was made of
    files: dict[str, bytes | str]  # path -> contents, or what it is instead: "pipe", "link", ...
    damaged: str  # the file that was damaged
    expected: str | None = None  # digest of the contents if it is read; None: any
    how: str = ""

    @property
    def size(self) -> int:
        return sum(len(data) for data in self.files.values() if isinstance(data, bytes))

    def to_json(self) -> str:
        "Return the input as a line."

        def pack(data):
            is_text = isinstance(data, str)
            return data if is_text else [base64.b85encode(zlib.compress(data, 9)).decode()]

        files = {name: pack(data) for name, data in self.files.items()}
        return json.dumps({**vars(self), "files": files})

    @classmethod
    def from_json(cls, line: str) -> "Case":
        fields = json.loads(line)

        def unpack(data):
            return data if isinstance(data, str) else zlib.decompress(base64.b85decode(data[0]))

        files = {name: unpack(data) for name, data in fields.pop("files").items()}
        return cls(**fields, files=files)


# What may lie in the place of a file
INSTEAD = (
    "pipe",
    "link to a canary",
    "link to itself",
    "hard link to a canary",
    "folder",
    "nothing",
)


def make_case(
    kind: str, samples: dict[str, Sample], expected: dict, seed: int, number: int
) -> Case:
    "Return an input; it depends on seed, format and number only."
    rng = random.Random(f"{seed}/{kind}/{number}")
    key = rng.choices(list(samples), [sample.share for sample in samples.values()])[0]
    sample = samples[key]
    target = rng.choice(sample.targets)
    files = dict(sample.files)
    case = Case(kind, key, files, target)
    chance = rng.random()
    if chance < 0.007:
        files[target] = rng.choice(INSTEAD)
        case.how = files[target]
        return case
    if chance < 0.02 and sample.extras:
        extra = rng.choice(sample.extras)
        files[extra] = rng.choice((*INSTEAD, b"", b"{}", rng.randbytes(20)))
        case.damaged, case.how = extra, "beside the files"
        return case
    if chance < 0.05 and sample.is_single:
        suffix = target[target.index(".") :]
        name = rng.choice([n for n in NAMES if _is_usable(n)]) + suffix
        files = {name: files[target]}
        case.files, case.damaged, case.how = files, name, "renamed"
        if rng.random() < 0.7:
            files[name] = mutate_bytes(rng, files[name])
        return case
    if sample.refused and chance < 0.2:
        case.how = "as it is"
        return case
    can_sign = sample.signed_targets is None or target in sample.signed_targets
    if rng.random() < 0.4 or not can_sign:
        is_json = target.endswith(".json") and rng.random() < 0.2
        change = mutate_json if is_json else mutate_bytes
        files[target] = change(rng, files[target])
        case.expected = expected.get(key) if sample.checked else None
        case.how = "damaged blindly"
        return case
    case.how = "damaged with right checksums"
    kind_of_file = sample.kinds.get(target) or kind_of(target)
    chance = rng.random()
    if chance < 0.05:
        others = [s.files[target] for s in samples.values() if target in s.files]
        files[target] = splice(rng, files[target], rng.choice(others))
    elif chance < 0.45 and target in sample.trees:
        tree, dump = sample.trees[target]
        for _ in range(rng.choice((1, 1, 2))):
            tree = mutate_tree(rng, tree)
        with contextlib.suppress(Exception):  # some trees can't be written
            files[target] = dump(tree)
    else:
        files[target] = mutate(rng, files[target], kind_of_file)
    case.files = sign(files)
    return case


def _is_usable(name: str) -> bool:
    "Tell whether a file can have a name."
    size = len(name.encode("utf-8", "surrogateescape"))
    return bool(name) and size < 200 and not set(name) & set("/\0") and name not in (".", "..")


# The sandbox


class Sandbox:
    "A folder with the files of an input, and others that no input may change."

    def __init__(self, folder: Path, photos: dict[str, bytes]):
        self.folder, self.input, self.photos = folder, folder / "inbox", photos
        self.make()

    def make(self) -> None:
        "Make the sandbox as it should be."
        folder = self.folder
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "outside").mkdir(parents=True)
        (folder / SHARED).mkdir()
        for name in ("canary.txt", "outside/canary.txt"):
            (folder / name).write_bytes(b"nobody may change this")
        for name, data in self.photos.items():
            (folder / SHARED / name).write_bytes(data)
        (folder / "outside/photo.jpg").write_bytes(self.photos["0.jpg"])
        os.mkfifo(folder / "pipe.jpg")
        os.symlink("loop.jpg", folder / "loop.jpg")
        self.input.mkdir()
        self.sound = self._listing(outside=True)

    def lay(self, case: Case, writes: bool) -> None:
        "Put the files of an input into the sandbox."
        shutil.rmtree(self.input, ignore_errors=True)
        self.input.mkdir()
        for name, data in case.files.items():
            path = self.input / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(data, bytes):
                path.write_bytes(data)
                os.utime(path, (TIME, TIME))
            elif data == "pipe":
                os.mkfifo(path)
            elif data == "folder":
                path.mkdir()
            elif data == "hard link to a canary":
                os.link(self.folder / "canary.txt", path)
            elif data != "nothing":
                os.symlink(self.folder / "canary.txt" if "canary" in data else path, path)
        self.before = None if writes else self._listing(outside=False)

    def changes(self) -> list[str]:
        "Return what changed that should not have."
        found = _differences(self.sound, self._listing(outside=True))
        if self.before is not None:
            found += _differences(self.before, self._listing(outside=False))
        return found

    def _listing(self, outside: bool) -> dict:
        "Return size, kind and time of files: outside the folder of the input, or in it."
        listing = {}
        waiting = [self.folder if outside else self.input]
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode):
                        if entry.path != str(self.input):
                            waiting.append(entry.path)
                        continue
                    listing[entry.path] = found.st_mode, found.st_size, found.st_mtime_ns
        return listing


def _differences(before: dict, after: dict) -> list[str]:
    names = sorted({*before} | {*after})
    return [repr(Path(name).name) for name in names if before.get(name) != after.get(name)]


# What a process does while it reads


class Watch:
    "Note what Python reports about itself while an input is read."

    programs = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork")
    programs += ("os.forkpty", "os.kill", "ctypes.dlopen", "pty.spawn", "os.putenv")
    connections = ("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request")
    changes = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link")
    changes += ("os.symlink", "os.truncate", "os.utime", "os.mkfifo", "shutil.rmtree")

    def __init__(self, sandbox: Sandbox):
        self.folder, self.input = str(sandbox.folder), str(sandbox.input)
        self.others = {path for path in sandbox.sound if f"/{SHARED}/" not in path}
        self.is_on, self.writes, self.reads_others = False, False, False
        self.events: list[str] = []
        self.packages = {name.split(".")[0] for name in sys.modules} | sys.stdlib_module_names
        sys.addaudithook(self._note)

    def _note(self, event: str, args: tuple) -> None:
        if not self.is_on:
            return
        if event == "open":
            path, _, flags = args
            is_writing = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
            self._check(event, path, is_writing)
        elif event in self.programs or event in self.connections:
            self.events.append(f"{event} {args[:2]!r}"[:200])
        elif event in self.changes:
            below_handle = isinstance(args[-1], int) and args[-1] >= 0 and event != "os.chmod"
            if not below_handle:  # as shutil.rmtree does
                self._check(event, args[0], True)
        elif event == "import" and args[0].split(".")[0] not in self.packages:
            self.events.append(f"import of {args[0]!r}")
        elif event == "pickle.find_class" and args[0].split(".")[0] in ("os", "posix", "builtins"):
            self.events.append(f"{args[0]}.{args[1]} in a pickle")

    def _check(self, event: str, path: object, is_writing: bool) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return  # a file that is open
        path = os.path.abspath(os.fsdecode(path))
        if path == "/dev/null":
            return
        is_input = path == self.input or path.startswith(self.input + "/")
        if is_writing:
            is_wrong = not (is_input and self.writes)
        else:
            is_other = path in self.others or path.startswith("/etc/")
            is_wrong = is_other and not self.reads_others
        if is_wrong:
            self.events.append(f"{event} of {path.replace(self.folder, '')!r}"[:200])


class Verdict(NamedTuple):
    "What became of an input."

    kind: str  # "read", "refused", or one of `CLASSES`
    detail: str = ""
    place: str = ""  # in the code
    seconds: float = 0.0  # of computing
    memory: float = 0.0  # bytes beside what stood before


def _memory(name: str) -> int:
    "Return a size of this process in bytes: VmSize, VmRSS or VmHWM."
    with open("/proc/self/status") as file:
        return int(re.search(rf"{name}:\s+(\d+)", file.read())[1]) * 1024


class Judge:
    "Read inputs in a sandbox and say what becomes of them."

    def __init__(self, folder: Path, samples: dict, photos: dict[str, bytes]):
        self.samples = samples
        self.memory = {format.name: format.memory for format in FORMATS}
        self.sandbox = Sandbox(folder, photos)
        self.watch = Watch(self.sandbox)
        os.chdir(folder)

    def judge(self, case: Case) -> Verdict:
        "Read an input."
        sample = self.samples[case.format][case.sample]
        self.sandbox.lay(case, sample.writes)
        path = self.sandbox.input
        if sample.is_single:
            path = path / next(iter(case.files))  # extras come after it
        self.watch.writes = sample.writes
        self.watch.reads_others = case.format in ("lists", "truths", "names")
        self.watch.reads_others |= any(isinstance(data, str) for data in case.files.values())
        self.watch.events = []
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # begin a new VmHWM
        memory = _memory("VmRSS")
        start = time.process_time()  # others use the machine, too
        error, result = None, None
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            self.watch.is_on = True
            try:
                result = sample.read(path)
            except BaseException as e:  # everything that is raised is judged
                error = e
            self.watch.is_on = False
        printed = [str(w.message) for w in noted]
        seconds = time.process_time() - start
        memory = max(0, _memory("VmHWM") - memory)
        kind, detail = self._verdict(case, sample, result, error, printed, memory)
        place = _place(error) if kind not in ("read", "refused") else ""
        if error is not None and os.environ.get("FUZZ_TRACEBACK"):
            traceback.print_exception(error)
        if self.watch.events or self.sandbox.changes():
            self.sandbox.make()
        return Verdict(kind, detail, place, seconds, memory)

    def _verdict(self, case, sample, result, error, printed, memory) -> tuple[str, str]:
        if self.watch.events:
            return "forbidden", self.watch.events[0]
        if changes := self.sandbox.changes():
            return "changed", ", ".join(changes[:5])
        limit = self.memory.get(case.format, 200 * MB) + 50 * case.size
        if memory > limit or _is_about_memory(error):
            return "memory", f"{memory / MB:.0f} MB of memory for {case.size} bytes; {error!r:.100}"
        for text in printed:
            if any(ord(c) < 32 or c in "\x7f\u2028\u202e" for c in text):
                return "warning", repr(text[:200])
        if error is not None:
            return self._verdict_on_error(case, sample, error)
        if case.expected and digest(result) != case.expected:
            return "altered", f"{case.damaged} was read, with other contents"
        return "read", ""

    def _verdict_on_error(self, case, sample, error) -> tuple[str, str]:
        text = str(error)
        shown = f"{type(error).__name__}: {text[:300]!r}"
        if isinstance(error, Altered):
            return "altered", text[:300]
        if not isinstance(error, (ValueError, OSError)):
            return "exception", shown
        is_photo = isinstance(error, ImageError) and case.format in ("lists", "truths")
        names = [Path(name).name for name in case.files]
        if case.format == "archives":
            names.append("out")  # the folder that is made
        names += [self.sandbox.input.name] if sample.by_folder else []
        if not is_photo and not any(n in text or repr(n)[1:-1] in text for n in names):
            return "unnamed", shown
        for name in sorted((str(self.sandbox.input), *names), key=len, reverse=True):
            text = text.replace(name, "")
        if len(text) > LONGEST and not is_photo:
            return "message", f"{len(text)} characters: {shown}"
        for name in NAMES:
            if name:
                text = text.replace(name, "")
        if "\n" in text or "\r" in text:
            return "message", f"several lines: {shown}"
        return "refused", ""


def _is_about_memory(error: BaseException | None) -> bool:
    "Tell whether an allocation failed, which means that too much was asked for."
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        is_allocation = isinstance(error, RuntimeError) and "alloc" in str(error)
        if isinstance(error, MemoryError) or is_allocation:
            return True
        error = error.__cause__ or error.__context__
    return False


def _place(error: BaseException | None) -> str:
    "Return where an error passed deepir last."
    if error is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if "/deepir/" in frame.filename:
            return f"{frame.filename.rpartition('/deepir/')[2]} {frame.name}"
    return frames[-1].name if frames else ""


# Processes


def _worker(pipe, folder: Path, samples: dict, expected: dict, photos: dict) -> None:
    "Judge inputs until there are no more."
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1) if os.environ.get("FUZZ_TRACEBACK") else (0, 1, 2):
        os.dup2(nothing, handle)
    limit = _memory("VmSize") + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log = open(folder.with_suffix(".log"), "w")  # noqa: SIM115 - open as long as the process lives
    faulthandler.enable(log)
    faulthandler.register(signal.SIGUSR1, log)  # the campaign asks where it hangs
    judge = Judge(folder, samples, photos)
    while (task := pipe.recv()) is not None:
        kind, seed, numbers = task
        for number in numbers:
            signal.alarm(60)  # the end of a process that hangs when the campaign is gone
            case = number
            if not isinstance(case, Case):
                try:
                    case = make_case(kind, samples[kind], expected[kind], seed, number)
                except Exception:
                    pipe.send(f"{kind} {number} cannot be made: {traceback.format_exc()}")
                    raise
            pipe.send(None)
            pipe.send(judge.judge(case))


@dataclass
class Process:
    "A worker and what it is doing."

    number: int
    process: multiprocessing.Process
    pipe: connection.Connection
    task: tuple | None = None
    rest: deque = field(default_factory=deque)  # inputs of the task that are not done
    since: float = 0.0  # when it last said something
    computed: float = 0.0  # how long it had computed then, seconds
    batches: int = 0

    def heard(self) -> None:
        "Remember that it has said something."
        self.since, self.computed = time.monotonic(), self._seconds()

    def is_late(self, seconds: float) -> bool:
        "Tell whether it computes longer than allowed, or waits very long: others use the machine."
        waits = time.monotonic() - self.since
        return waits > seconds and (
            self._seconds() - self.computed > seconds or waits > 10 * seconds
        )

    def _seconds(self) -> float:
        try:
            text = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:  # not Linux, or it has ended
            return time.monotonic()
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Campaign:
    "A number of inputs of some formats."

    def __init__(self, folder: Path, formats: list[Format], workers: int):
        self.folder, self.workers = folder, workers
        self.samples, self.expected = {}, {}
        for format in formats:
            self.samples[format.name] = _make_samples(folder, format)
        self.photos = {f"{i}.jpg": encoded(small_photo(i), "JPEG") for i in range(4)}
        judge = Judge(folder / "sound", self.samples, self.photos)
        for name, samples in self.samples.items():
            self.expected[name] = {}
            for key, sample in samples.items():
                self.expected[name][key] = _check_sound(judge, name, key, sample)
        for kind in ("zip", "png"):
            zeros(kind)
        os.chdir(folder)
        self.context = multiprocessing.get_context("fork")
        self.verdicts: list[tuple] = []  # (format, number or case, verdict)

    def run(
        self,
        tasks: deque,  # of (format, numbers or cases)
        seed: int,
        seconds: float = SECONDS,  # of an input
        workers: int | None = None,
        show: bool = False,  # a progress bar
    ) -> list[tuple]:  # (format, number or case, verdict) of those whose process died or hung
        "Judge inputs."
        suspects = []
        bar = progress_bar(show=show, total=sum(len(part) for _, part in tasks), desc="inputs")
        processes = [self._start(n) for n in range(workers or self.workers)]
        for process in processes:
            self._give(process, tasks, seed)
        while any(process.task for process in processes):
            bar.update(len(self.verdicts) - bar.n if show else 0)
            busy = [process for process in processes if process.task]
            ready = connection.wait([process.pipe for process in busy], timeout=0.2)
            for i, process in enumerate(processes):
                if not process.task:
                    continue
                fault = None
                if process.pipe in ready:
                    fault = self._listen(process)
                elif process.is_late(seconds):
                    os.kill(process.process.pid, signal.SIGUSR1)
                    time.sleep(0.3)
                    place = _last_place(self, process)
                    fault = Verdict("timeout", f"more than {seconds:g} s", place)
                if fault:
                    if process.rest:
                        suspects.append((process.task[0], process.rest.popleft(), fault))
                    processes[i] = self._replace(process)
                if processes[i].task and not processes[i].rest:
                    processes[i].task = None
                    if processes[i].batches >= 20:  # begin with fresh memory now and then
                        processes[i] = self._replace(processes[i])
                    self._give(processes[i], tasks, seed)
        bar.close()
        for process in processes:
            self._stop(process)
        return suspects

    def run_twice(self, tasks: deque, seed: int, show: bool) -> None:
        "Judge inputs; try those that took too long again, alone, since others use the machine."
        again = defaultdict(int)
        for kind, number, fault in self.run(tasks, seed, show=show):
            again[kind] += fault.kind == "timeout"
            if fault.kind == "timeout" and again[kind] <= 5:
                found = self.run(deque([(kind, [number])]), seed, 2 * SECONDS, workers=1)
                self.verdicts += found
            else:
                self.verdicts.append((kind, number, fault))

    def _start(self, number: int) -> Process:
        here, there = self.context.Pipe()
        args = there, self.folder / f"worker{number}", self.samples, self.expected, self.photos
        process = self.context.Process(target=_worker, args=args, daemon=True)
        process.start()
        there.close()
        worker = Process(number, process, here)
        worker.heard()
        return worker

    def _give(self, process: Process, tasks: deque, seed: int) -> None:
        if not tasks:
            return
        kind, numbers = tasks.popleft()
        process.task, process.rest = (kind, seed), deque(numbers)
        process.batches += 1
        process.heard()
        process.pipe.send((kind, seed, list(numbers)))

    def _listen(self, process: Process) -> Verdict | None:
        "Take what a worker says; return a verdict if it has died."
        try:
            while process.pipe.poll():
                answer = process.pipe.recv()
                process.heard()
                if isinstance(answer, str):
                    sys.exit(answer)
                if answer is not None:  # None: an input is made, and will be read
                    self.verdicts.append((process.task[0], process.rest.popleft(), answer))
        except (EOFError, ConnectionResetError):
            process.process.join()
            code = process.process.exitcode
            name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            return Verdict("crash", name, _last_place(self, process))
        return None

    def _replace(self, process: Process) -> Process:
        "Start another worker, which goes on with the same task."
        self._stop(process)
        fresh = self._start(process.number)
        if process.task:
            fresh.task, fresh.rest = process.task, process.rest
            if fresh.rest:
                fresh.pipe.send((*fresh.task, list(fresh.rest)))
        return fresh

    def _stop(self, process: Process) -> None:
        process.process.kill()
        process.process.join()
        process.pipe.close()


def _last_place(campaign: Campaign, process: Process) -> str:
    "Return where in deepir a process was when it crashed, if that is known."
    log = campaign.folder / f"worker{process.number}.log"
    text = log.read_text() if log.exists() else ""
    found = re.search(r'"[^"]*/deepir/([^"]+)", line \d+ in (\w+)', text)
    return " ".join(found.groups()) if found else ""


def _make_samples(folder: Path, format: Format) -> dict[str, Sample]:
    place = folder / "made" / format.name
    place.mkdir(parents=True)
    samples = {}
    # Names of temporary files get into checkpoints, and inputs must not depend on them.
    with mock.patch("os.urandom", bytes), mock.patch("os.getpid", lambda: 1):
        made = format.make(place)
    for sample in made:
        samples.setdefault(sample.key, sample)
    return samples


def _check_sound(judge: Judge, name: str, key: str, sample: Sample) -> str | None:
    "Read sound files, which must work and give the same contents each time; return their digest."
    if sample.refused:
        return None
    case = Case(name, key, sample.files, sample.targets[0])
    judge.sandbox.lay(case, True)
    path = judge.sandbox.input
    if sample.is_single:
        path = path / sample.targets[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return digest(sample.read(path)) if sample.checked else sample.read(path) and None
        except (ValueError, OSError) as e:
            raise SystemExit(f"{name}, {key}: the sound files cannot be read: {e}") from e


# Reports


def group_faults(verdicts: list[tuple]) -> dict[tuple, list[tuple]]:
    "Sort faults by format, class, place and what is common to their messages."
    groups = defaultdict(list)
    for kind, number, verdict in verdicts:
        if verdict.kind in ("read", "refused"):
            continue
        common = verdict.detail.split(":")[0] if verdict.kind == "exception" else ""
        if verdict.kind in ("forbidden", "crash"):
            common = re.sub(r"[^A-Za-z. ]+", "", verdict.detail)[:40]
        groups[kind, verdict.kind, verdict.place, common].append((number, verdict))
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def table_of(verdicts: list[tuple], quiet: bool = False) -> str:
    "Return a table of what became of the inputs of each format."
    counts, slowest, largest = defaultdict(Counter), Counter(), Counter()
    for kind, _, verdict in verdicts:
        for row in (kind, "all"):
            counts[row][verdict.kind] += 1
            slowest[row] = max(slowest[row], verdict.seconds)
            largest[row] = max(largest[row], verdict.memory)
    columns = ["read", "refused", *(c for c in CLASSES if counts["all"][c] or not quiet)]
    head = f"{'':16}{'inputs':>8}" + "".join(f"{c:>11}" for c in columns)
    lines = [head + ("" if quiet else f"{'slowest':>11}{'memory':>9}")]
    for row in [format.name for format in FORMATS if format.name in counts] + ["all"]:
        line = f"{row:16}{sum(counts[row].values()):>8}"
        line += "".join(f"{counts[row][c]:>11}" for c in columns)
        if not quiet:
            line += f"{slowest[row]:>9.2f} s{largest[row] / MB:>6.0f} MB"
        lines.append(line)
    return "\n".join(lines)


def tasks_of(formats: list[Format], inputs: int, size: int = 50) -> deque:
    "Share inputs among formats; return tasks of a few inputs, of all formats in turn."
    whole = sum(format.share for format in formats)
    lists = []
    for format in formats:
        n = round(inputs * format.share / whole)
        lists.append([(format.name, range(i, min(i + size, n))) for i in range(0, n, size)])
    order = [((i + 0.5) / len(tasks), task) for tasks in lists for i, task in enumerate(tasks)]
    return deque(task for _, task in sorted(order, key=lambda item: item[0]))


def keep(path: Path, campaign: Campaign, groups: dict, seed: int, most: int = 15_000) -> int:
    "Add the smallest input of each group of faults to a file; return how many were added."
    there = set(path.read_text().splitlines()) if path.exists() else set()
    lines = []
    for (kind, *_), found in groups.items():
        cases = [_as_case(campaign, kind, seed, number) for number, _ in found[:20]]
        line = min((case.to_json() for case in cases), key=len)
        if len(line) <= most and line not in there:
            lines.append(line)
    with open(path, "a") as file:
        file.writelines(line + "\n" for line in lines)
    return len(lines)


def _as_case(campaign: Campaign, kind: str, seed: int, number) -> Case:
    if isinstance(number, Case):
        return number
    return make_case(kind, campaign.samples[kind], campaign.expected[kind], seed, number)


def kept_tasks(path: Path, campaign: Campaign) -> Iterator[tuple]:
    "Yield tasks of kept inputs."
    by_format = defaultdict(list)
    for line in path.read_text().splitlines():
        case = Case.from_json(line)
        samples = campaign.samples.get(case.format)
        if samples and case.sample not in samples:
            sys.exit(f"{path}: made of {case.sample!r}, which is not a sample of {case.format} now")
        if samples:
            by_format[case.format].append(case)
    for kind, cases in by_format.items():
        for i in range(0, len(cases), 10):
            yield kind, cases[i : i + 10]


def check_classes(campaign: Campaign) -> bool:
    "Read files wrongly in every way; print what is not noticed, and return whether there is any."
    kind = "misbehaviour"
    cases = []
    for key, sample in campaign.samples[kind].items():
        (name,) = sample.files
        cases.append(Case(kind, key, {name: b"damaged"}, name, campaign.expected[kind][key]))
    verdicts = campaign.run(deque([(kind, cases)]), 0, seconds=2, workers=1)
    wrong = 0
    for _, case, verdict in [*campaign.verdicts, *verdicts]:
        if f"{verdict.kind}.txt" != case.damaged:
            print(f"{case.damaged}: taken for {verdict.kind!r} {verdict.detail}")
            wrong += 1
    print(f"{len(cases) - wrong} of {len(CLASSES)} classes of faults are noticed")
    return wrong > 0


def main() -> None:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--inputs", type=int, default=100_000)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--only", default="", help="formats, separated by commas")
    p.add_argument("--number", type=int, help="one input of one format, with its traceback")
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--keep", type=Path, help="file to which inputs that fail are added")
    p.add_argument("--replay", type=Path, help="read the inputs of such a file first")
    p.add_argument(
        "--check", action="store_true", help="see that faults of all classes are noticed"
    )
    p.add_argument("--quiet", action="store_true", help="print nothing that differs between runs")
    p.add_argument("--faults", type=int, default=40, help="groups of faults to print")
    args = p.parse_args()
    for name in ("keep", "replay"):
        if getattr(args, name):
            setattr(args, name, getattr(args, name).absolute())
    only = [name.strip() for name in args.only.split(",") if name.strip()]
    formats = [format for format in FORMATS if not only or format.name in only]
    if unknown := {*only} - {format.name for format in FORMATS}:
        sys.exit(f"unknown formats {unknown}; known: {[format.name for format in FORMATS]}")
    torch.set_num_threads(1)
    if args.check:
        formats, args.inputs = [misbehaviour(CLASSES)], 0
    if args.number is not None:
        os.environ["FUZZ_TRACEBACK"] = "1"
    memory = Path("/dev/shm")  # a disk in memory: indexes wait for the disk at every write
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as folder:
        campaign = Campaign(Path(folder), formats, args.workers)
        if args.check:
            sys.exit(check_classes(campaign))
        start = time.perf_counter()
        if args.number is not None:
            tasks = deque([(formats[0].name, [args.number])])
        else:
            tasks = deque(kept_tasks(args.replay, campaign) if args.replay else ())
            tasks += tasks_of([f for f in formats if campaign.samples[f.name]], args.inputs)
        print(f"seed {args.seed}, {sum(len(numbers) for _, numbers in tasks)} inputs", flush=True)
        with contextlib.suppress(KeyboardInterrupt):  # then what was done is reported
            campaign.run_twice(tasks, args.seed, show=not args.quiet and sys.stderr.isatty())
        seconds = time.perf_counter() - start
        groups = group_faults(campaign.verdicts)
        print(table_of(campaign.verdicts, args.quiet))
        for (kind, fault, place, common), found in list(groups.items())[: args.faults]:
            number, verdict = found[0]
            number = number.damaged if isinstance(number, Case) else number
            print(
                f"{len(found):6} {kind} / {fault} / {place} {common}\n"
                f"       first {number!r}: {verdict.detail[:300]}"
            )
        n = len(campaign.verdicts)
        if not args.quiet:
            for kind, number, verdict in sorted(campaign.verdicts, key=lambda v: -v[2].seconds)[:5]:
                number = number.damaged if isinstance(number, Case) else number
                print(f"slow: {kind} {number!r}, {verdict.seconds:.2f} s, {verdict.kind}")
            print(
                f"{n} inputs in {seconds:.0f} s, {1000 * seconds / max(1, n):.1f} ms each, "
                f"{args.workers} processes"
            )
        if args.keep and groups:
            print(
                f"{keep(args.keep, campaign, groups, args.seed)} inputs added to {args.keep.name}"
            )
    faults = sum(len(found) for found in groups.values())
    print("no faults" if not faults else f"{faults} faults in {len(groups)} groups")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
