"""Check that the tree is in sync and keeps its rules. Exit 1 and say what to do if not.

- deepir/, README.md and the notebooks are what a clean export gives;
- a module imports only modules whose notebook has a lower number, by name, and uses only names it has;
- notebooks, cells and modules stay small, and no saved output holds a path of somebody's machine;
- a notebook begins with a title and a line that says what for, a tutorial ends with exercises and the way to the next;
- benchmarks import names that are there;
- the terms of the field are spelled in one way;
- the pages of the site are in order (tools/site.py).

It rewrites deepir/ and README.md: work on deepir/*.py that no notebook has is lost (nbdev_update saves it).
"""
import ast, importlib, json, os, re, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_CELLS, MAX_CELL_LINES, MAX_MODULE_LINES = 80, 40, 300
MAX_KB = {'api': 250, 'tutorials': 400, 'nbs': 400}  # by folder; nbs is the index

# Wrong, as a pattern -> right. In text, comments and docstrings, not in code.
TERMS = {
    r'[Dd]ata[ -]bases?': 'database',
    r'(?<!\[)[Dd]ata-?sets?': 'data set',
    r'[Hh]yper-param[a-z]*': 'hyperparameter',
    r'[Qq]uery-expansion': 'query expansion',
    r'RMAC|R-mac|r-mac': 'R-MAC (the class is `RMAC`)',
    r'Gem|GEM': 'GeM',
    r'SPOC|Spoc': 'SPoC',
    r'MAP|maP': 'mAP',
    r'(?:[Nn]ormal|[Gg]eneral|[Ii]nitial|[Oo]ptim|[Mm]inim|[Mm]axim|[Oo]rgan|[Rr]ecogn|[Vv]isual|[Qq]uant|[Rr]egular)iz[a-z]+': '-ise, -isation',
    r'[a-z]*(?:[Cc]olor|[Nn]eighbor|[Bb]ehavior)[a-z]*|[Cc]enter(?:s|ed|ing)?|[Gg]ray[a-z]*': 'colour, neighbour, behaviour, centre, grey',
}

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

def form_problems(path, cells, next_tutorial):
    "A title with a line below; at the end of a tutorial, exercises and a link to the next one."
    texts = [source for cell, source in cells if cell['cell_type'] == 'markdown']
    if not re.match(r'# .+\n+> .+', texts[0]): yield 'its first text is not "# Title" and "> a line that says what for"'
    if path.parent.name != 'tutorials': return
    end = re.split(r'^#+ (.+)$', re.sub(r'```.*?```', '', '\n'.join(texts), flags=re.S), flags=re.M)[-2:]
    if end[0] != 'Exercises': yield f'its last section is "{end[0]}", not "Exercises"'
    if next_tutorial and f']({next_tutorial})' not in end[1]: yield f'it does not end with a link to {next_tutorial}'

def spelling_problems(cells):
    "Terms of the field that are spelled in another way than elsewhere."
    for i, (cell, source) in enumerate(cells, 1):
        if cell['cell_type'] == 'code': source = '\n'.join(map(''.join, re.findall(r'(?:^|\s)#(?!\|)(.*)|^\s*"([^"\n]+)"$', source, re.M)))
        said = re.sub(r'```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)]*\)|\*[^*\n]+\*', ' ', source, flags=re.S)  # no code, formulas, links, titles
        for wrong, right in TERMS.items():
            for found in re.findall(rf'(?<![\w.])(?:{wrong})(?![\w(=]|\.\w)', said): yield f'cell {i}: "{found}" is spelled {right}'

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

def benchmark_problems():
    "Names that a benchmark imports and the package does not have."
    for path in sorted(ROOT.glob('benchmarks/*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if not isinstance(node, ast.ImportFrom) or not node.module.startswith('deepir.'): continue
            there = vars(importlib.import_module(node.module))
            yield from (f'{path.relative_to(ROOT)}: {node.module} has no {a.name}' for a in node.names if a.name not in there)

def main():
    problems = [*sync_problems(), *name_problems(), *benchmark_problems()]
    books, number = notebooks(), {}
    tutorials = [p.name for p in books if p.parent.name == 'tutorials']
    following = dict(zip(tutorials, tutorials[1:]))
    for path, cells in books.items():
        exp = re.search(r'^#\|\s*default_exp\s+(\S+)', '\n'.join(s for _, s in cells), re.M)
        if exp and (n := re.match(r'\d+', path.name)): number[exp[1]] = int(n[0])
        elif exp: problems.append(f'{path.relative_to(ROOT)}: exports {exp[1]}, but its name has no number')
        found = [*notebook_problems(path, cells), *form_problems(path, cells, following.get(path.name)), *spelling_problems(cells)]
        problems += [f'{path.relative_to(ROOT)}: {p}' for p in found]
    modules = [p for p in sorted(ROOT.glob('deepir/*.py')) if p.stem in number]
    for path in modules: problems += [f'{path.relative_to(ROOT)}: {p}' for p in module_problems(path, number)]
    site = subprocess.run([sys.executable, 'tools/site.py'], cwd=ROOT)
    for p in problems: print(p)
    if not problems: print(f'{len(books)} notebooks and {len(modules)} modules in sync and within the rules')
    sys.exit(bool(problems or site.returncode))

if __name__ == '__main__': main()
