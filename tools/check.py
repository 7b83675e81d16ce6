"""Check that the tree is in sync and keeps its rules. Exit 1 and say what to do if not.

- deepir/, README.md and the notebooks are what a clean export gives.
- A module imports only modules that come before it in reading order, also inside functions,
  and leaves slow and optional packages to the functions that need them.
- No module uses private names of torch, and the public names stay few.
- Every name in a hand-written __init__.py can be imported, and so can the names in benchmarks/.
- Notebooks stay small, and no saved output holds a path of somebody's machine.
- A notebook begins with a title and a line that says what it is for. Its tests stand folded at
  its end. A tutorial ends with exercises and the way to the next one.
- The terms of the field are spelled in one way.
- The pages of the site are in order (tools/site.py).

This rewrites deepir/ and README.md. An edit of deepir/*.py that is in no notebook is lost;
nbdev_update saves it.
"""

import ast
import importlib
import inspect
import io
import json
import re
import subprocess
import sys
import tokenize
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from project import PACKAGES, ROOT, module_of, notebook_paths, package_of, reading_position

MAX_KILOBYTES = 800  # of a notebook
MAX_NAMES = 140  # in all modules together

# The packages that the modules of a package may import from, besides their own.
MAY_IMPORT = {
    "": {""},
    "viz": {"", "viz"},
    "interop": {"", "viz", "interop"},
    "downloads": {"", "downloads"},
    "toy": {"", "toy"},
    "cli": set(PACKAGES),
}
FACES = {".".join(["deepir", *filter(None, [package])]) for package in PACKAGES}
REGISTRY = "deepir.core"  # its `plugin` names modules that come later, and imports them when asked

# Slow or optional: imported inside the functions that need them, apart from matplotlib in viz.
LAZY = {"torchvision", "matplotlib", "sklearn", "scipy", "pandas", "fastcore", "IPython"}
LAZY |= {"timm", "onnx", "onnxruntime", "onnxscript", "faiss", "kapture", "hloc"}
LAZY |= {"huggingface_hub", "safetensors"}

# Wrong spellings, as a pattern -> the right one. In text, comments and docstrings, not in code.
IZE = "normal|general|initial|optim|minim|maxim|organ|recogn|visual|quant|regular"
TERMS = {
    r"[Dd]ata[ -]bases?": "database",
    r"(?<!\[)[Dd]ata-?sets?": "data set",
    r"[Hh]yper-param[a-z]*": "hyperparameter",
    r"[Qq]uery-expansion": "query expansion",
    r"RMAC|R-mac|r-mac": "R-MAC (the class is `RMAC`)",
    r"Gem|GEM": "GeM",
    r"SPOC|Spoc": "SPoC",
    r"MAP|maP": "mAP",
    rf"(?i:{IZE})iz[a-z]+": "-ise, -isation",
    r"[a-z]*(?:[Cc]olor|[Nn]eighbor|[Bb]ehavior)[a-z]*": "colour, neighbour, behaviour",
    r"[Cc]enter(?:s|ed|ing)?|[Gg]ray[a-z]*": "centre, grey",
}
# What is not prose: code, formulas, the targets of links, and titles in italics.
NOT_PROSE = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)]*\)|\*[^*\n]+\*", re.DOTALL
)
PRIVATE_TORCH = re.compile(r"torch(?:vision)?\.(?:\w+\.)*?_(?!_)\w+|torch\.ops\b")
PATH_OF_A_MACHINE = re.compile(
    r'(?<![\w/])/(?:home|root|tmp|usr|opt|mnt|work|Users)/[^\s"\\]*|\S*/site-packages/\S*'
)


class Cell(NamedTuple):
    "A cell of a notebook: its position (from 1), its type, its text and its outputs."

    number: int
    kind: str
    source: str
    outputs: list

    @property
    def directives(self):
        "The lines at its top that begin with #|."
        return re.match(r"(?:#\|.*\n?)*", self.source)[0].splitlines()

    @property
    def is_exported(self):
        return any(re.match(r"#\|\s*export", line) for line in self.directives)

    @property
    def is_documented(self):
        return any(re.match(r"#\|\s*exports?\b", line) for line in self.directives)


def read_cells(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [
        Cell(number, cell["cell_type"], "".join(cell["source"]), cell.get("outputs", []))
        for number, cell in enumerate(cells, 1)
    ]


# The tree is in sync


def sync_problems():
    "Make everything again from the notebooks, and ask git whether anything changed."
    for path in ROOT.glob("deepir/**/*.py"):
        if path.name != "__init__.py":
            path.unlink()
    programs = Path(sys.executable).parent
    commands = (
        [programs / "nbdev_clean"],
        [programs / "nbdev_export"],
        [sys.executable, "tools/readme.py"],
    )
    for command in commands:
        if subprocess.run(command, cwd=ROOT).returncode:
            sys.exit(f"{command[-1]} failed: see above.")
    status = _git("status", "--porcelain")
    if status:
        yield (
            "not in sync: made again from the notebooks, these files differ from the last commit.\n"
            f"{status}{_git('diff', '--stat', 'HEAD')}"
            "Look at git diff. Commit what is right, and edit the notebooks, never deepir/ "
            "or README.md."
        )


def _git(*command):
    command = ["git", *command, "--", "nbs", "deepir", "README.md"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


# Notebooks


def notebook_problems(path, cells):
    "Size, directives and saved outputs of a notebook, and the module that it exports."
    kilobytes = path.stat().st_size / 1000
    if kilobytes > MAX_KILOBYTES:
        yield f"{kilobytes:.0f} kB, more than {MAX_KILOBYTES}"
    for cell in cells:
        found = PATH_OF_A_MACHINE.search(_text_of(cell.outputs))
        if found:
            yield f"cell {cell.number} has a path of this machine in its output: {found[0]}"
        if cell.kind != "code":
            continue
        late = re.findall(r"^#\|.*", cell.source, re.MULTILINE)[len(cell.directives) :]
        if late:
            yield f"cell {cell.number}: {late[0]!r} is ignored, for it is not at the top"
        if cell.is_documented:
            yield from _lost_comments(cell)
    exported, module = default_exp(cells), module_of(path)
    if exported and exported != module:
        wanted = module or "no module, for it isn't nbs/api/NN_name.ipynb"
        yield f"it exports {exported}, but its place stands for {wanted}"
    if module and package_of(module) not in PACKAGES:
        yield f"tools/project.py does not say where deepir.{package_of(module)} is read"


def _lost_comments(cell):
    "Public functions with a comment where nbdev does not look for the comments it documents."
    lines = cell.source.splitlines()
    for node in ast.walk(ast.parse(cell.source)):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            header = lines[node.lineno - 1 : node.body[0].lineno - 1]
            if any(re.match(r"\s*\):\s*#", line) for line in header):
                yield (
                    f'cell {cell.number}: the comment behind "):" of {node.name} is undocumented. '
                    "If it describes the last parameter, put a comma and the comment behind that; "
                    'if it describes the result, put it behind ") -> type:", on one line'
                )


def default_exp(cells):
    "The module that a notebook exports, or None."
    code = "\n".join(cell.source for cell in cells if cell.kind == "code")
    found = re.search(r"^#\|\s*default_exp\s+(\S+)", code, re.MULTILINE)
    return f"deepir.{found[1]}" if found else None


def _text_of(outputs):
    "What outputs say, without their pictures."
    said = []
    for output in outputs:
        data = output.get("data", {})
        texts = {kind: text for kind, text in data.items() if not kind.startswith("image/")}
        said.append(output.get("text") or texts)
    return json.dumps(said)


def form_problems(path, cells, next_tutorial):
    "How a notebook begins and ends."
    texts = [cell.source for cell in cells if cell.kind == "markdown"]
    if not texts or not re.match(r"# .+\n+> .+", texts[0]):
        yield 'its first text is not "# Title" and "> a line that says what it is for"'
    if path.parent.name == "tutorials":
        yield from _exercise_problems(texts, next_tutorial)
    else:
        yield from _test_section_problems(cells)


def _exercise_problems(texts, next_tutorial):
    prose = re.sub(r"```.*?```", "", "\n".join(texts), flags=re.DOTALL)
    *_, title, text = ["", *re.split(r"^#+ (.+)$", prose, flags=re.MULTILINE)]
    if title != "Exercises":
        yield f'its last section is "{title}", not "Exercises"'
    if next_tutorial and f"]({next_tutorial})" not in text:
        yield f"it does not end with a link to {next_tutorial}"


def _test_section_problems(cells):
    "The section Tests is the last one; its cells are folded and export nothing."
    in_tests = False
    for cell in cells:
        if cell.kind == "markdown":
            prose = re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL)
            for title in re.findall(r"^##? (.+)", prose, re.MULTILINE):
                if in_tests:
                    yield f'cell {cell.number}: the section "{title}" comes after "Tests"'
                in_tests |= title.strip() == "Tests"
        elif in_tests and cell.kind == "code":
            options = {line.replace(" ", "") for line in cell.directives}
            if cell.is_exported:
                yield f'cell {cell.number} exports code in the section "Tests"'
            elif not options & {"#|code-fold:true", "#|hide"}:
                yield f'cell {cell.number} is in "Tests" and has no "#| code-fold: true" at its top'


def spelling_problems(cells):
    "Terms of the field that are spelled in another way than elsewhere."
    for cell in cells:
        text = _comments_of(cell.source) if cell.kind == "code" else cell.source
        prose = NOT_PROSE.sub(" ", text)
        for wrong, right in TERMS.items():
            for found in re.findall(rf"(?<![\w.])(?:{wrong})(?![\w(=]|\.\w)", prose):
                yield f'cell {cell.number}: "{found}" is spelled {right}'


def _comments_of(code):
    "The comments and docstrings of a cell."
    code = re.sub(r"^[%!].*", "", code, flags=re.MULTILINE)
    try:
        tree = ast.parse(code)
    except SyntaxError:  # of IPython, such as files = !ls
        return ""
    documented = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    texts = [ast.get_docstring(n) or "" for n in ast.walk(tree) if isinstance(n, documented)]
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith("#|"):
            texts.append(token.string.lstrip("# "))
    return "\n".join(texts)


# Modules


class Import(NamedTuple):
    "An import in a module: the module it names, its line, and whether it runs with the module's."

    module: str
    line: int
    at_top: bool


def imports_of(tree, importer, modules):
    "Yield every import in the `tree` of the module `importer`, of deepir and of others."
    runs_later = set()
    for node in ast.walk(tree):
        only_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if only_for_types or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            runs_later.update(n for n in ast.walk(node) if n is not node)
    for node in ast.walk(tree):
        at_top = node not in runs_later
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = list(_imported_from(node, importer, modules))
        elif isinstance(node, ast.Constant) and importer != REGISTRY and node.value in modules:
            names, at_top = [node.value], False  # for importlib
        else:
            continue
        yield from (Import(name, node.lineno, at_top) for name in names)


def _imported_from(node, importer, modules):
    "Yield the modules that `from … import …` imports."
    above = importer.split(".")[: -node.level] if node.level else []
    origin = ".".join([*above, *filter(None, [node.module])])
    for alias in node.names:
        submodule = f"{origin}.{alias.name}"
        if origin != "deepir" or alias.name != "__version__":
            yield submodule if submodule in modules else origin


def import_problems(tree, importer, modules):
    "Imports that break the reading order, or that make importing the module slow."
    package = package_of(importer)
    for name, line, at_top in imports_of(tree, importer, modules):
        top_name = name.split(".")[0]
        if name == importer:
            continue
        if name in modules:
            if modules[name] >= modules[importer]:
                yield f"line {line}: imports {name}, which comes later; see `deepir.core.plugin`"
            elif package_of(name) not in MAY_IMPORT.get(package, ()):
                yield f"line {line}: imports {name}, which deepir.{package} has to do without"
        elif name in FACES:
            yield f"line {line}: imports from {name}, not from the module that has the name"
        elif top_name == "deepir":
            yield f"line {line}: imports {name}, which no notebook exports"
        elif at_top and top_name in LAZY and (package, top_name) != ("viz", "matplotlib"):
            yield f"line {line}: imports {top_name} outside of the functions that need it"


def torch_problems(tree):
    "Private names of torch, which change from one release to the next."
    aliases = {}
    used = []  # (line, dotted name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                used.append((node.lineno, alias.name))
                package = alias.name.split(".")[0]
                aliases[alias.asname or package] = alias.name if alias.asname else package
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                used.append((node.lineno, f"{node.module}.{alias.name}"))
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            start, *rest = ast.unparse(node).split(".")
            used.append((node.lineno, ".".join([aliases.get(start, ""), *rest])))
    found = {(line, private[0]) for line, name in used if (private := PRIVATE_TORCH.match(name))}
    found.update(_private_parts_of_modules(tree))
    for line, name in sorted(found):
        yield f"line {line}: {name} is a private name of torch"


def _private_parts_of_modules(tree):
    "Where the private attributes of a `torch.nn.Module` are used, such as its dict of modules."
    import torch

    private = {name for name in vars(torch.nn.Module()) if name.startswith("_")}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in private:
            yield node.lineno, node.attr


def exported_names(tree):
    "The names in the `__all__` of a module."
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return []


# Names that others import


def face_problems(modules):
    "Names in the hand-written __init__.py files that cannot be imported."
    # Modules first, as in a long session: importing deepir.x makes x an attribute of deepir.
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            yield f"{module} cannot be imported: {error!r}"
    for path in sorted(ROOT.glob("deepir/**/__init__.py")):
        where = path.relative_to(ROOT)
        package = importlib.import_module(".".join(where.parent.parts))
        for name in getattr(package, "__all__", None) or dir(package):
            try:
                value = getattr(package, name)
            except Exception as error:
                yield f"{where}: {name} cannot be imported: {error!r}"
                continue
            has_same_name = inspect.ismodule(value) and name in getattr(value, "__all__", ())
            if has_same_name and not callable(value):
                yield f"{where}: {name} becomes the module once that is imported, not what is in it"


def benchmark_problems():
    "Names that a benchmark imports and the package does not have."
    for path in sorted(ROOT.glob("benchmarks/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or node.level:
                continue
            if node.module.split(".")[0] != "deepir":
                continue
            for alias in node.names:
                try:
                    exec(f"from {node.module} import {alias.name}", {})
                except Exception as error:
                    yield f"{path.relative_to(ROOT)}, line {node.lineno}: {error}"


# All of them


def tree_problems():
    "Everything that is wrong with notebooks and modules, each with the file that it is in."
    yield from sync_problems()
    notebooks = {path: read_cells(path) for path in notebook_paths()}
    tutorials = [path for path in notebooks if path.parent.name == "tutorials"]
    next_tutorial = {path: following.name for path, following in pairwise(tutorials)}
    for path, cells in notebooks.items():
        found = (
            *notebook_problems(path, cells),
            *form_problems(path, cells, next_tutorial.get(path)),
            *spelling_problems(cells),
        )
        yield from (f"{path.relative_to(ROOT)}: {problem}" for problem in found)

    modules = {
        module_of(path): reading_position(path)
        for path in notebooks
        if module_of(path) and default_exp(notebooks[path])
    }
    public_names = 0
    for module in modules:
        path = ROOT / f"{module.replace('.', '/')}.py"
        if not path.exists():  # its notebook exports another one, see above
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = (*import_problems(tree, module, modules), *torch_problems(tree))
        yield from (f"{path.relative_to(ROOT)}, {problem}" for problem in found)
        public_names += len(exported_names(tree))
    counts = f"{len(notebooks)} notebooks, {len(modules)} modules, {public_names} public names"
    print(counts, flush=True)
    if public_names > MAX_NAMES:
        yield (
            f"{public_names} public names, more than {MAX_NAMES}: what users do not call is "
            "exported with #| exporti, or begins with an underscore"
        )

    yield from face_problems(sorted(modules, key=modules.get))
    yield from benchmark_problems()


def main():
    sys.path.insert(0, str(ROOT))  # deepir of this tree, even where another one is installed
    problems = 0
    for problem in tree_problems():
        problems += 1
        print(problem, flush=True)
    site = subprocess.run([sys.executable, "tools/site.py"], cwd=ROOT)
    if not problems:
        print("In sync and within the rules.")
    sys.exit(bool(problems or site.returncode))


if __name__ == "__main__":
    main()
