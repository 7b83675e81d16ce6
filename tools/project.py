"""Share between the tools where the project is and in which order it is read."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / "nbs"

# The folders of nbs/api, which are packages of deepir, in reading order; "" is nbs/api itself.
PACKAGES = ("", "viz", "interop", "downloads", "toy", "cli")


def notebook_paths():
    "Return the path of every notebook in reading order: index, tutorials, then the API."
    paths = [path for path in NBS.glob("**/*.ipynb") if not _is_hidden(path)]
    return sorted(paths, key=reading_position)


def _is_hidden(path):
    return any(part[0] in "._" for part in path.relative_to(NBS).parts)


def reading_position(path):
    "Return a sort key: where the notebook at `path` comes in reading order."
    folder, name = path.relative_to(NBS).parent.parts, path.name
    if not folder:
        return (0, 0, name)
    if folder[0] != "api":
        return (1, 0, path.relative_to(NBS).as_posix())
    package = "/".join(folder[1:])
    rank = PACKAGES.index(package) if package in PACKAGES else len(PACKAGES)
    return (2, rank, name)


def module_of(path):
    "Return the module that the notebook at `path` should export, or None outside nbs/api."
    folder = path.relative_to(NBS).parent.parts
    numbered = re.fullmatch(r"\d\d_(\w+)", path.stem)
    if folder[:1] != ("api",) or not numbered:
        return None
    return ".".join(["deepir", *folder[1:], numbered[1]])


def package_of(module):
    "Return the package of `module`: 'viz' of 'deepir.viz.ranking', '' of 'deepir.core'."
    return ".".join(module.split(".")[1:-1])


def one_thread_each(environ):
    "Let each of several processes use one thread, unless the caller's environment says otherwise."
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        environ.setdefault(variable, "1")
