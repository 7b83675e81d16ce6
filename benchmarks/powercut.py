"""What a power cut may leave of a folder, worked out from what a process has synced.

`Recorder` runs in the process. It notes every fsync, rename, deletion and new folder below a root,
and keeps what they would destroy. After the process was killed, `cut_power` puts the folder into a
state that a disk may have without power: contents that were not synced are lost, cut short, zeros
or old, and names that were not synced with their folder are as before or as after, each by itself.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import stat
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    "What a name in a folder stands for."

    inode: int
    is_folder: bool


def list_folder(path: str | Path) -> dict[str, Entry]:
    "Return the entries of a folder by name."
    with os.scandir(path) as entries:
        return {e.name: Entry(e.inode(), e.is_dir(follow_symlinks=False)) for e in entries}


class Recorder:
    "Note what a process asks the disk to keep."

    def __init__(
        self,
        root: Path,  # the folder that is watched
        memory: Path,  # an empty folder on the same disk, for the log and for what is kept
        die_at: int | None = None,  # kill the process at this operation, counted from 1
        is_logging: bool = True,  # False only counts, and lets fsync through
    ):
        self.root, self.memory, self.die_at = os.path.realpath(root), memory, die_at
        self.is_logging, self.count, self.copies = is_logging, 0, 0
        self.real: dict[str, Callable] = {}

    def install(self) -> None:
        "Take the place of functions of `os` in this process."
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self.log_file = os.open(self.memory / "log", flags)
        replacements = {
            "fsync": self.fsync,
            "rename": self.rename,
            "replace": self.rename,
            "link": self.link,
            "unlink": self.unlink,
            "remove": self.unlink,
            "rmdir": self.rmdir,
            "mkdir": self.mkdir,
        }
        for name, function in replacements.items():
            self.real[name] = getattr(os, name)
            setattr(os, name, function)

    # What all of them need

    def path_of(self, path, folder_handle: int | None = None) -> str | None:
        "Return the absolute path of an argument; None if it is outside the root."
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        elif folder_handle is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder_handle}"), os.fspath(path))
        path = os.path.abspath(os.fspath(path))
        folder = os.path.realpath(os.path.dirname(path))
        path = os.path.join(folder, os.path.basename(path))
        return path if path == self.root or path.startswith(self.root + os.sep) else None

    def step(self) -> None:
        "Count an operation, and die if it is the last one."
        self.count += 1
        if self.count == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def note(self, **event) -> None:
        if self.is_logging:
            os.write(self.log_file, json.dumps(event).encode() + b"\n")

    def keep(self, path: str) -> None:
        "Keep the contents of a file that is about to lose its name."
        if not self.is_logging or not os.path.isfile(path) or os.path.islink(path):
            return
        with contextlib.suppress(FileExistsError):
            self.real["link"](path, self.memory / f"inode-{os.stat(path).st_ino}")

    def place_of(self, path: str) -> list:
        "Return the inode of a path's folder, and the path's name."
        return [os.stat(os.path.dirname(path)).st_ino, os.path.basename(path)]

    # Functions of `os`

    def fsync(self, handle: int) -> None:
        path = self.path_of(handle)
        if path is None or not self.is_logging:
            if path:
                self.step()
            return self.real["fsync"](handle)
        self.step()
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            entries = {name: list(entry) for name, entry in list_folder(path).items()}
            self.note(what="sync folder", folder=found.st_ino, entries=entries)
        else:
            self.copies += 1
            copy = self.memory / f"copy-{os.getpid()}-{self.copies}"
            shutil.copyfile(f"/proc/self/fd/{handle}", copy)
            self.note(what="sync file", inode=found.st_ino, copy=copy.name)
        self.step()

    def rename(self, src, dst, *, src_dir_fd=None, dst_dir_fd=None) -> None:
        source, target = self.path_of(src, src_dir_fd), self.path_of(dst, dst_dir_fd)
        if source and target and os.path.lexists(source):
            self.step()
            self.keep(target)
            found = os.lstat(source)
            entry = [found.st_ino, stat.S_ISDIR(found.st_mode)]
            places = {"source": self.place_of(source), "target": self.place_of(target)}
            self.note(what="rename", entry=entry, **places)
        self.real["replace"](src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        if source and target:
            self.step()

    def link(self, src, dst, **options) -> None:
        self.real["link"](src, dst, **options)
        if target := self.path_of(dst):
            entry = [os.stat(target).st_ino, False]
            self.note(what="create", place=self.place_of(target), entry=entry)
            self.step()

    def mkdir(self, path, mode=0o777, *, dir_fd=None) -> None:
        self.real["mkdir"](path, mode, dir_fd=dir_fd)
        if target := self.path_of(path, dir_fd):
            entry = [os.stat(target).st_ino, True]
            self.note(what="create", place=self.place_of(target), entry=entry)
            self.step()

    def unlink(self, path, *, dir_fd=None) -> None:
        self.delete("unlink", path, dir_fd)

    def rmdir(self, path, *, dir_fd=None) -> None:
        self.delete("rmdir", path, dir_fd)

    def delete(self, kind: str, path, dir_fd) -> None:
        target = self.path_of(path, dir_fd)
        if target and os.path.lexists(target):
            self.step()
            self.keep(target)
            entry = [os.lstat(target).st_ino, kind == "rmdir"]
            self.note(what="delete", place=self.place_of(target), entry=entry)
        self.real[kind](path, dir_fd=dir_fd)


@dataclass
class Snapshot:
    "A folder tree at some moment."

    root: int  # inode of its top
    folders: dict[int, dict[str, Entry]] = field(default_factory=dict)  # inode -> entries
    paths: dict[int, str] = field(default_factory=dict)  # inode of a file -> one of its paths
    contents: dict[int, bytes] = field(default_factory=dict)  # inode of a file -> its bytes

    @classmethod
    def of(cls, root: Path) -> "Snapshot":
        shot = cls(os.stat(root).st_ino)

        def walk(path):
            entries = list_folder(path)
            shot.folders[os.stat(path).st_ino] = entries
            for name, entry in entries.items():
                below = os.path.join(path, name)
                if entry.is_folder:
                    walk(below)
                else:
                    shot.paths[entry.inode] = below
                    shot.contents[entry.inode] = Path(below).read_bytes()

        walk(os.fspath(root))
        return shot


class Change(NamedTuple):
    "A change of names that its folder has not synced yet."

    places: list[tuple[int, str, Entry, bool]]  # folder, name, entry, is it there afterwards?


def apply(entries: dict[str, Entry], folder: int, change: Change) -> None:
    "Carry out a change in one folder."
    for where, name, entry, is_added in change.places:
        if where != folder:
            continue
        if is_added:
            entries[name] = entry
        elif entries.get(name, Entry(0, False)).inode == entry.inode:
            del entries[name]


class Replay:
    "What was on the disk for certain, and what was under way."

    def __init__(self, before: Snapshot, memory: Path):
        self.folders = {inode: dict(entries) for inode, entries in before.folders.items()}
        self.contents = dict(before.contents)
        self.pending: dict[int, list[Change]] = defaultdict(list)
        log = memory / "log"
        for line in log.read_bytes().splitlines() if log.exists() else []:
            self.take(json.loads(line), memory)

    def take(self, event: dict, memory: Path) -> None:
        what = event["what"]
        if what == "sync file":
            self.contents[event["inode"]] = (memory / event["copy"]).read_bytes()
        elif what == "sync folder":
            self.sync(event["folder"], {n: Entry(*e) for n, e in event["entries"].items()})
        elif what == "rename":
            entry, target = Entry(*event["entry"]), event["target"]
            self.add(Change([(*event["source"], entry, False), (*target, entry, True)]))
        else:
            entry, is_added = Entry(*event["entry"]), what == "create"
            if is_added and entry.is_folder:
                self.folders[entry.inode] = {}
            self.add(Change([(*event["place"], entry, is_added)]))

    def add(self, change: Change) -> None:
        for folder in {place[0] for place in change.places}:
            self.pending[folder].append(change)

    def sync(self, folder: int, entries: dict[str, Entry]) -> None:
        "A folder is as it is now; a rename to or from it is complete on the other side, too."
        self.folders[folder] = entries
        for change in self.pending.pop(folder, []):
            for other in {place[0] for place in change.places} - {folder}:
                apply(self.folders.setdefault(other, {}), other, change)
                self.pending[other].remove(change)

    def add_unseen(self, now: Snapshot) -> None:
        "Add what the log does not explain, such as files that were made by `open`."
        for folder, entries in now.folders.items():
            expected = dict(self.folders.setdefault(folder, {}))
            for change in self.pending[folder]:
                apply(expected, folder, change)
            for name, entry in expected.items():
                if name not in entries:
                    self.add(Change([(folder, name, entry, False)]))
            for name, entry in entries.items():
                if expected.get(name) != entry:
                    self.add(Change([(folder, name, entry, True)]))


def damaged(now: bytes, synced: bytes | None, rng: random.Random) -> tuple[bytes, str]:
    "Return what may be left of a file, and what that is."
    if now == synced:
        return now, "synced"
    same = next((i for i, (a, b) in enumerate(zip(now, synced or b"")) if a != b), None)
    same = min(len(now), len(synced or b"")) if same is None else same
    head, tail = now[:same], now[same:]
    kind = rng.choice(["kept", "empty", "cut", "zeros", "stale"])
    if kind == "kept":
        return now, kind
    if kind == "empty":
        return head, kind
    if kind == "cut":
        return head + tail[: rng.randint(0, len(tail))], kind
    if kind == "zeros":
        return head + bytes(len(tail)), kind
    return (head + rng.randbytes(len(tail)) if synced is None else synced), kind


def cut_power(
    root: Path,  # the folder, as a killed process has left it; put into its new state
    memory: Path,  # of the process's `Recorder`
    before: Snapshot,  # of `root` when the process began; all of it was on the disk
    rng: random.Random,
) -> list[str]:  # what was changed, for people
    "Put a folder into a state that a disk may have after a power cut."
    now = Snapshot.of(root)
    replay = Replay(before, memory)
    replay.add_unseen(now)
    happened = {id(c): rng.random() < 0.5 for changes in replay.pending.values() for c in changes}
    told, new_root = [], root.with_name(root.name + ".after")

    def bytes_of(inode: int) -> bytes:
        if inode in now.contents:
            return now.contents[inode]
        kept = memory / f"inode-{inode}"
        return kept.read_bytes() if kept.exists() else before.contents[inode]

    def build(inode: int, path: Path) -> None:
        path.mkdir()
        entries = dict(replay.folders.get(inode, {}))
        for change in replay.pending.get(inode, []):
            if happened[id(change)]:
                apply(entries, inode, change)
        was = now.folders.get(inode, {})
        shown = path.relative_to(new_root)
        told.extend(f"{shown / name}: not there" for name in was.keys() - entries.keys())
        told.extend(f"{shown / name}: there again" for name in entries.keys() - was.keys())
        for name, entry in sorted(entries.items()):
            if entry.is_folder:
                build(entry.inode, path / name)
                continue
            if name in was and was[name] != entry:
                told.append(f"{shown / name}: the one before")
            data, kind = damaged(bytes_of(entry.inode), replay.contents.get(entry.inode), rng)
            (path / name).write_bytes(data)
            if kind not in ("synced", "kept"):
                told.append(f"{shown / name}: {kind}")
            if entry.inode in now.paths:
                times = os.stat(now.paths[entry.inode])
                os.utime(path / name, ns=(times.st_atime_ns, times.st_mtime_ns))

    build(before.root, new_root)
    shutil.rmtree(root)
    os.rename(new_root, root)
    return told
