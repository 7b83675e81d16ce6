"""Check that the tree is in sync and keeps its rules. Exit 1 and say what to do if not.

- deepir/, README.md and the notebooks are what a clean export gives;
- a module imports only modules whose notebook has a lower number, by name, and uses only names it has;
- notebooks, cells and modules stay small, and no saved output holds a path of somebody's machine.

It rewrites deepir/ and README.md: work on deepir/*.py that no notebook has is lost (nbdev_update saves it).
"""
import ast, json, os, re, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_CELLS, MAX_CELL_LINES, MAX_MODULE_LINES = 80, 40, 300
MAX_KB = {'api': 250, 'tutorials': 400, 'nbs': 400}  # by folder; nbs is the index

def sync_problems():
    "Make everything again from the notebooks; git says whether anything changed."
    for f in ROOT.glob('deepir/*.py'):
        if f.name != '__init__.py': f.unlink()
    bin = Path(sys.executable).parent
    for command in ([bin/'nbdev_clean'], [bin/'nbdev_export'], [sys.executable, 'tools/readme.py']):
        if subprocess.run(command, cwd=ROOT).returncode: sys.exit(f'{command[-1]} failed: see above.')
    git = lambda *args: subprocess.run(['git', *args, '--', 'nbs', 'deepir', 'README.md'], cwd=ROOT, check=True,
                                       capture_output=True, text=True).stdout
    status = git('status', '--porcelain')
    if status: return [f'not in sync: made again from the notebooks, these files are not as committed.\n{status}'
                       f'{git("diff", "--stat", "HEAD")}Look at git diff. What is right, commit; and edit the notebooks, never deepir/ or README.md.']
    return []

def notebooks():
    "Each notebook of nbs/ with its cells: path -> list of (cell, source)."
    paths = [p for p in sorted(ROOT.glob('nbs/**/*.ipynb')) if not any(s[0] in '._' for s in p.relative_to(ROOT).parts)]
    return {p: [(c, ''.join(c['source'])) for c in json.loads(p.read_text(encoding='utf-8'))['cells']] for p in paths}

def notebook_problems(path, cells):
    kb, cap = path.stat().st_size / 1000, MAX_KB.get(path.parent.name, 400)
    if kb > cap: yield f'{kb:.0f} kB, more than {cap}'
    if len(cells) > MAX_CELLS: yield f'{len(cells)} cells, more than {MAX_CELLS}'
    for i, (cell, source) in enumerate(cells, 1):
        if re.search(r'^#\|\s*export', source, re.M):
            n = sum(bool(line.strip()) and not line.startswith('#|') for line in source.splitlines())
            if n > MAX_CELL_LINES: yield f'cell {i} exports {n} lines, more than {MAX_CELL_LINES}'
        found = re.search(r'(?<![\w/])/(?:home|root|tmp|usr|opt|mnt|Users)/[^\s"\\]*|\S*/site-packages/\S*', _text_of(cell.get('outputs', [])))
        if found: yield f'cell {i} has a path of this machine in its output: {found[0]}'

def _text_of(outputs):
    "What outputs say, without their pictures."
    return json.dumps([o.get('text') or {k: v for k, v in o.get('data', {}).items() if not k.startswith('image/')} for o in outputs])

def imported(tree):
    "The modules of deepir that a module imports: (name, is it a star import), also inside functions."
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for a in node.names:
                if a.name.startswith('deepir.'): yield a.name.split('.')[1], False
        elif isinstance(node, ast.ImportFrom):
            name = '.' * node.level + (node.module or '')
            names = [a.name for a in node.names]
            if name in ('.', 'deepir'): yield from ((n, False) for n in names)
            elif name.startswith(('.', 'deepir.')): yield name.removeprefix('deepir').split('.')[1], names == ['*']

def module_problems(path, number):
    source = path.read_text(encoding='utf-8')
    n = source.count('\n')
    if n > MAX_MODULE_LINES: yield f'{n} lines, more than {MAX_MODULE_LINES}'
    for name, star in imported(ast.parse(source)):
        if star: yield f'imports * from {name}: import names'
        if name in number and number[name] >= number[path.stem]:
            yield f'imports {name} ({number[name]:02}), which does not come before {path.stem} ({number[path.stem]:02})'

def name_problems():
    "Names that a module uses but does not have: a notebook may import for its tests what its exported cells forgot."
    out = subprocess.run([sys.executable, '-m', 'pyflakes', 'deepir'], cwd=ROOT, capture_output=True, text=True)
    if out.stderr: sys.exit(out.stderr)
    return [line for line in out.stdout.splitlines() if '_modidx' not in line]

def main():
    problems = sync_problems() + name_problems()
    books, number = notebooks(), {}
    for path, cells in books.items():
        exp = re.search(r'^#\|\s*default_exp\s+(\S+)', '\n'.join(s for _, s in cells), re.M)
        if exp and (n := re.match(r'\d+', path.name)): number[exp[1]] = int(n[0])
        elif exp: problems.append(f'{path.relative_to(ROOT)}: exports {exp[1]}, but its name has no number')
        problems += [f'{path.relative_to(ROOT)}: {p}' for p in notebook_problems(path, cells)]
    modules = [p for p in sorted(ROOT.glob('deepir/*.py')) if p.stem in number]
    for path in modules: problems += [f'{path.relative_to(ROOT)}: {p}' for p in module_problems(path, number)]
    for p in problems: print(p)
    if not problems: print(f'{len(books)} notebooks and {len(modules)} modules in sync and within the rules')
    sys.exit(bool(problems))

if __name__ == '__main__': main()
