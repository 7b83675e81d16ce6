"""Run notebooks and save what they print and show.

    python tools/run_notebooks.py                        all notebooks
    python tools/run_notebooks.py nbs/api/00_core.ipynb  this one; a folder works too
    python tools/run_notebooks.py --check                write nothing; exit 1 if the text differs
    python tools/run_notebooks.py --flags "slow gpu"     and the cells with these flags
    python tools/run_notebooks.py --workers 4            so many notebooks at a time (default: 2)

Each notebook runs in a fresh process in its own folder, with one thread, up to its first error.
It is then saved clean, unless it failed. Cells that are not run keep their outputs. The same code
gives the same file: figures are PNG at 80 dpi, without the name of the program that made them.
"""

import argparse
import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context

from execnb.nbio import write_nb
from execnb.shell import CaptureShell, format_exc
from nbdev.clean import clean_nb
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.process import NBProcessor
from project import ROOT, one_thread_each

FIGURES = """
from matplotlib_inline.backend_inline import set_matplotlib_formats
set_matplotlib_formats('png', dpi=80, bbox_inches='tight', metadata={'Software': None})
del set_matplotlib_formats
"""
NOT_COMPARED = "not compared"


def text_outputs(cell):
    "Return the outputs of `cell`, with the kinds of its pictures but not the pictures."
    outputs = []
    for output in cell.get("outputs", []):
        if "text" in output:
            outputs.append("".join(output["text"]))
        else:
            data = output.get("data", {})
            outputs.append(
                {k: "".join(v) if k.startswith("text/") else "" for k, v in data.items()}
            )
    return outputs


def run(path, skip_flags, check):
    "Run the notebook at `path`, save it unless `check`, and return a list of problems."
    os.environ.update(TQDM_DISABLE="1", IN_TEST="1")  # as in nbdev_test
    nb = NBProcessor(path, rm_directives=False).nb
    clean_nb(nb)
    saved = [text_outputs(cell) for cell in nb.cells]
    sys.path.insert(0, str(ROOT))
    shell = CaptureShell(path, mpl_format="png")
    shell.run(FIGURES)
    os.chdir(path.parent)
    for number, cell in enumerate(nb.cells, 1):
        flags = cell.directives_
        skipped = flags.get("eval:", [""])[0].lower() == "false" or skip_flags & flags.keys()
        if cell.cell_type != "code" or skipped:
            continue
        cell.outputs = []
        shell.cell(cell)
        if shell.exc:
            return [f"cell {number} failed\n{''.join(format_exc(shell.exc))}"]
    clean_nb(nb)
    if check:
        return list(differences(saved, [text_outputs(cell) for cell in nb.cells]))
    write_nb(nb, path)
    return []


def differences(saved, now):
    """Yield the cells that print something else than is saved.

    This ends at the first cell that leaves something out for want of data, since later cells may
    need the data too.
    """
    for number, (old, new) in enumerate(zip(saved, now), 1):
        left_out = re.findall(r"left out: [^\n]*? at hand", str(new))
        if left_out and left_out != re.findall(r"left out: [^\n]*? at hand", str(old)):
            yield f"{NOT_COMPARED} from cell {number} on; {left_out[0]}"
            return
        if old != new:
            yield (
                f"cell {number} gives another output than the saved one\n"
                f"  saved: {old}\n  now:   {new}"
            )


def run_in_a_process(path, skip_flags, check):
    "Do `run` in a process of its own; its death is a problem of this notebook alone."
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(run, path, skip_flags, check).result()
        except BrokenProcessPool:
            return ["its process died"]


def main():
    parser = argparse.ArgumentParser(description="Run notebooks and save what they print and show.")
    parser.add_argument("paths", nargs="*", help="notebooks or folders (default: all)")
    parser.add_argument("--check", action="store_true", help="compare the text, write nothing")
    parser.add_argument("--flags", default="", help="run the cells with these flags too")
    parser.add_argument("--workers", type=int, default=2, help="notebooks at a time (default: 2)")
    args = parser.parse_args()
    if args.workers < 1:
        parser.error("--workers: at least 1")
    paths = args.paths or [get_config().nbs_path]
    notebooks = sorted(nb.resolve() for path in paths for nb in nbglob(path, as_path=True))
    if not notebooks:
        sys.exit("No notebook found.")
    one_thread_each(os.environ)
    skip_flags = set(get_config().tst_flags.split()) - set(args.flags.split())
    work = partial(run_in_a_process, skip_flags=skip_flags, check=args.check)
    failed = False
    with ThreadPoolExecutor(args.workers) as threads:
        for path, problems in zip(notebooks, threads.map(work, notebooks)):
            name = os.path.relpath(path)
            print("\n".join(f"{name}: {p}" for p in problems) or f"{name}: ok", flush=True)
            failed |= not all(problem.startswith(NOT_COMPARED) for problem in problems)
    sys.exit(failed)


if __name__ == "__main__":
    main()
