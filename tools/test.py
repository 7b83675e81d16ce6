"""Run the notebooks as tests, and end with one line: `N passed, N failed`.

    python tools/test.py                           all notebooks
    python tools/test.py --path nbs/api/00_core.ipynb
    python tools/test.py --flags "slow gpu"        and the cells with these flags

Arguments go to `nbdev_test`. Unlike it, this fails when no notebook was found.
"""
import os, re, subprocess, sys

nbdev_test = os.path.join(os.path.dirname(sys.executable), 'nbdev_test')
env = dict(os.environ, PYTHONUNBUFFERED='1')  # what a worker prints before it dies is not lost
process = subprocess.Popen([nbdev_test, '--do_print', *sys.argv[1:]], env=env, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, errors='replace')
output = ''
for line in process.stdout:
    print(line, end='', flush=True)
    output += line
code = process.wait()

started = len(re.findall(r'Starting .+?\.ipynb', output))
completed = len(re.findall(r'- Completed .+?\.ipynb', output))  # also printed for a failure
_, found, listed = output.rpartition('Tests Failed On The Following Notebooks:')
failed = len(re.findall(r'^\t.+\.ipynb$', listed, re.M)) if found else 0
passed = completed - failed
failed += started - completed  # began and never ended: its process died

if not started: print('No notebook was run.')
elif started > completed: print('A process died: see above. Notebooks that had not begun are not counted.')
elif code and not failed:
    failed = 1  # a notebook that could not be read
    print(f'nbdev_test stopped with code {code}: see above.')
print(f'{passed} passed, {failed} failed', flush=True)
sys.exit(bool(code or failed or not passed))
