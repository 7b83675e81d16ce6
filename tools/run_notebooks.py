"""Run notebooks and save what they print and show.

    python tools/run_notebooks.py                        all notebooks
    python tools/run_notebooks.py nbs/api/00_core.ipynb  this one; a folder works too
    python tools/run_notebooks.py --check                write nothing; exit 1 where the saved text differs
    python tools/run_notebooks.py --flags "slow gpu"     and the cells with these flags

Each notebook runs in a fresh process in its own folder, up to its first error, and is then
saved clean. It is not saved when it fails. Cells that are not run keep their outputs.
The same code gives the same file: figures are PNG at 80 dpi without the name of their maker.
"""
import argparse, os, re, sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from execnb.nbio import write_nb
from execnb.shell import CaptureShell, format_exc
from nbdev.clean import clean_nb
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.process import NBProcessor

FIGURES = """from matplotlib_inline.backend_inline import set_matplotlib_formats
set_matplotlib_formats('png', dpi=80, bbox_inches='tight', metadata={'Software': None})
del set_matplotlib_formats"""

def text_outputs(cell):
    "The outputs of `cell` with pictures named, not compared."
    return [''.join(o['text']) if 'text' in o else
            {k: ''.join(v) if k.startswith('text/') else '' for k, v in o.get('data', {}).items()}
            for o in cell.get('outputs', [])]

def run(path, skip_flags, check):
    "Run the notebook at `path`, save it unless `check`, and return what is wrong with it."
    os.environ.update(TQDM_DISABLE='1', IN_TEST='1')  # as in nbdev_test
    nb = NBProcessor(path, rm_directives=False).nb
    clean_nb(nb)
    saved = [text_outputs(c) for c in nb.cells]
    sys.path.insert(0, str(get_config().config_path))
    shell = CaptureShell(path, mpl_format='png')
    shell.run(FIGURES)
    os.chdir(path.parent)
    for i, cell in enumerate(nb.cells, 1):
        flags = cell.directives_
        skip = flags.get('eval:', [''])[0].lower() == 'false' or skip_flags & flags.keys()
        if cell.cell_type != 'code' or skip: continue
        cell.outputs = []
        shell.cell(cell)
        if shell.exc: return [f'cell {i} failed\n{"".join(format_exc(shell.exc))}']
    clean_nb(nb)
    if not check: write_nb(nb, path)
    return list(differences(saved, map(text_outputs, nb.cells))) if check else []

NOT_COMPARED = 'not compared'

def differences(saved, now):
    "Cells that print something else than is saved, up to the first that misses data: others may need it too."
    for i, (old, new) in enumerate(zip(saved, now), 1):
        left_out = re.findall(r'left out: [^\n]*? at hand', str(new))
        if left_out and left_out != re.findall(r'left out: [^\n]*? at hand', str(old)):
            yield f'{NOT_COMPARED} from cell {i} on; {left_out[0]}'
            return
        if old != new: yield f'cell {i} gives another output than the saved one\n  saved: {old}\n  now:   {new}'

def main():
    parser = argparse.ArgumentParser(description='Run notebooks and save what they print and show.')
    parser.add_argument('paths', nargs='*', default=[get_config().nbs_path], help='notebooks or folders (default: all)')
    parser.add_argument('--check', action='store_true', help='compare the text with the saved one, write nothing')
    parser.add_argument('--flags', default='', help='run the cells with these flags too')
    args = parser.parse_args()
    skip_flags = set(get_config().tst_flags.split()) - set(args.flags.split())
    notebooks = sorted(f.resolve() for p in args.paths for f in nbglob(p, as_path=True))
    if not notebooks: sys.exit('No notebook found.')
    wrong = False
    for path in notebooks:
        name = os.path.relpath(path)
        with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
            try: problems = pool.submit(run, path, skip_flags, args.check).result()
            except BrokenProcessPool: problems = ['its process died']
        print('\n'.join(f'{name}: {p}' for p in problems) or f'{name}: ok', flush=True)
        wrong |= not all(p.startswith(NOT_COMPARED) for p in problems)
    sys.exit(wrong)

if __name__ == '__main__': main()
