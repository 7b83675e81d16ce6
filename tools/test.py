"""Run the notebooks as tests, and end with one line: `N passed, N failed`.

    python tools/test.py                           all notebooks
    python tools/test.py --path nbs/api/00_core.ipynb
    python tools/test.py --path nbs/api/viz        the notebooks of a folder
    python tools/test.py --flags "slow gpu"        and the cells with these flags

Arguments go to `nbdev_test`, which runs several notebooks at a time, so each gets one thread
unless OMP_NUM_THREADS is set. Unlike `nbdev_test`, this fails when no notebook was found.
"""

import os
import re
import subprocess
import sys

from project import one_thread_each


def run_tests(arguments):
    "Run `nbdev_test`, show what it prints as it comes, and return that and the exit status."
    program = os.path.join(os.path.dirname(sys.executable), "nbdev_test")
    environ = dict(os.environ, PYTHONUNBUFFERED="1")  # keeps what a worker prints before it dies
    one_thread_each(environ)
    process = subprocess.Popen(
        [program, "--do_print", *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    output = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        output += line
    return output, process.wait()


def main():
    output, status = run_tests(sys.argv[1:])
    started = len(re.findall(r"Starting .+?\.ipynb", output))
    completed = len(re.findall(r"- Completed .+?\.ipynb", output))  # also printed for a failure
    _, found, listed = output.rpartition("Tests Failed On The Following Notebooks:")
    failed = len(re.findall(r"^\t.+\.ipynb$", listed, re.MULTILINE)) if found else 0
    passed = completed - failed
    failed += started - completed  # began and never ended: its process died

    if not started:
        print("No notebook was run.")
    elif started > completed:
        print("A process died: see above. Notebooks that had not begun are not counted.")
    elif status and not failed:
        failed = 1  # a notebook that could not be read
        print(f"nbdev_test stopped with code {status}: see above.")
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(bool(status or failed or not passed))


if __name__ == "__main__":
    main()
