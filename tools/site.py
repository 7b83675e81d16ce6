"""Check the pages of the documentation site without Quarto, and look at them.

    python tools/site.py               the checks; with pandoc, every page is converted too
    python tools/site.py --html pages  and the converted pages stay in this folder

Every notebook goes through nbdev's processing for the site and becomes the markdown that Quarto
would make of it. The checks are of links, anchors and pictures, names of deepir in the text,
options of cells, formulas, tracebacks, the descriptions of figures in tutorials, and the sidebar.
"""

import argparse
import base64
import builtins
import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import yaml
from execnb.nbio import read_nb
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup
from nbdev.processors import FilterDefaults
from project import NBS, ROOT, notebook_paths
from readme import fenced

# nbdev turns names in the text into links to pages below HOME.
HOME = f"{get_config().doc_host}{get_config().doc_baseurl}/"
FENCED = re.compile(r"^(`{3,}).*?^\1", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r'\]\(([^)\s]+)|(?:src|href)="([^"]+)"')
NAME = re.compile(r"[A-Za-z_][\w.]*(\(\))?")
FILE = re.compile(r".*\.(jpe?g|png|pt|np[yz]|json|txt|pkl|csv|tsv|html|ipynb|ini|py)")
OTHERS = {  # names in other people's code
    "__main__",
    "common.load_checkpoint",
    "dirtorch.test_dir",
    "efficientnet_v2_l",
    "extract_features.confs",
}
# In the place of Quarto's theme.
STYLE = """<style>
body { max-width: 56rem; margin: 2rem auto; font: 1rem/1.5 sans-serif }
img { max-width: 100% }
pre > code.sourceCode { white-space: pre-wrap }
</style>"""


class Page:
    "A notebook as a page of the site: its text, figures and anchors, and a list of its problems."

    def __init__(self, path):
        self.name = path.relative_to(NBS)
        self.figures = {}
        self.problems = []
        nb = read_nb(path)
        self.cells = [(cell.cell_type, cell.source) for cell in nb.cells]
        self._process(nb)
        frontmatter = getattr(nb, "frontmatter_", {})
        self.url = self.name.with_name(frontmatter.get("output-file", "untitled.html"))
        self.text = "\n\n".join(
            self._markdown(number, cell) for number, cell in enumerate(nb.cells) if cell.source
        )
        self.anchors = {"", *slugs(self.text)}
        if "<locals>" in self.text:
            self.problems.append("a decorator hides the name of what it decorates: functools.wraps")

    def _process(self, nb):
        "Do to `nb` what nbdev does before Quarto gets it."
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                FilterDefaults()(nb)
            except Exception as error:
                message = " ".join(str(error).split())
                self.problems.append(
                    f"nbdev cannot make a page of it: {message}: {error.__cause__!r}"
                )
                nb.cells = []
        for warning in caught:
            if "imports and other code" in str(warning.message):
                code = str(warning.message).split("---")[1].strip()
                self.problems.append(
                    f"imports and other code in one cell, which the site would run: {code[:80]!r}"
                )

    def _markdown(self, number, cell):
        "Return a cell as Quarto hands it to pandoc."
        if cell.cell_type != "code":
            return cell.source
        top, code = re.fullmatch(r"((?:#\|[^\n]*\n?)*)(.*)", cell.source, re.DOTALL).groups()
        options = self._options(top)
        blocks = []
        if options.get("echo", True) and code.strip():
            kept = [key for key in ("code-fold", "code-summary") if key in options]
            fold = "".join(f' {key}="{options[key]}"' for key in kept)
            blocks.append(f"```` {{.python .cell-code{fold}}}\n{code}\n````")
        figures_before = len(self.figures)
        outputs = cell.get("outputs", []) if options.get("output", True) else []
        alt = str(options.get("fig-alt", ""))
        texts = [
            self._output(output, f"{self.url.stem}_files/{number}-{i}", alt)
            for i, output in enumerate(outputs)
        ]
        failed = any(output.output_type == "error" for output in outputs)
        if failed or any("Traceback (most recent call last)" in text for text in texts):
            self.problems.append(f"a traceback comes of {code[:80]!r}")
        in_tutorial = self.name.parent.name == "tutorials"
        if in_tutorial and len(self.figures) > figures_before and not alt:
            self.problems.append(
                "a figure is not described for those who do not see it: "
                f'add #| fig-alt: "..." to {code[:80]!r}'
            )
        if options.get("output") == "asis":
            return "\n\n".join(blocks + texts)
        shown = [f"::: {{.cell-output}}\n{text}\n:::" for text in texts]
        return "\n\n".join(["::: {.cell}", *blocks, *shown, ":::"])

    def _options(self, directives):
        try:
            return yaml.safe_load(re.sub(r"^#\|", "", directives, flags=re.MULTILINE)) or {}
        except yaml.YAMLError:
            self.problems.append(
                f"Quarto cannot read {directives.strip()!r}: put the text in quotes"
            )
            return {}

    def _output(self, output, name, alt):
        "Return an output in its richest form; the bytes of a figure go to `figures`."
        data = output.get("data", {"text/plain": output.get("text", "")})
        data = {kind: "".join(text) for kind, text in data.items()}
        for kind in ("png", "jpeg"):
            if f"image/{kind}" in data:
                self.figures[f"{name}.{kind}"] = base64.b64decode(data[f"image/{kind}"])
                image = f'<p><img src="{name}.{kind}" alt="{html.escape(alt)}"></p>'
                return fenced(image, "{=html}")
        if "text/markdown" in data:
            return data["text/markdown"]
        if "text/html" in data:
            return fenced(data["text/html"], "{=html}")
        return fenced(data.get("text/plain", ""))


def slugs(text):
    "Yield the anchors that pandoc gives to the headings of `text`."
    seen = {}
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", FENCED.sub("", text), re.MULTILINE):
        without_links = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        words = re.sub(r"[^\w\s.-]", "", without_links).split()
        slug = re.sub(r"^[\W\d_]+", "", "-".join(words).lower()) or "section"
        seen[slug] = count = seen.get(slug, -1) + 1
        yield f"{slug}-{count}" if count else slug


def bad_links(page, pages):
    "Yield the links and pictures of a page that lead nowhere."
    by_file = {str(p.name): p for p in pages} | {str(p.url): p for p in pages}
    prose = FENCED.sub("", page.text)
    for target in (link or source for link, source in LINK.findall(INLINE.sub("", prose))):
        if re.match(r"\w+:", target) and not target.startswith(HOME):
            continue  # another site
        file, _, anchor = target.removeprefix(HOME).partition("#")
        if not file:
            local = str(page.name)
        elif target.startswith(HOME):
            local = file
        else:
            local = os.path.normpath(page.name.parent / file)
        linked = by_file.get(local)
        anchor = re.sub(r"^(\w+)\.\w+$", r"\1", anchor)  # nbs/site.lua: from a method to its class
        if not linked and not (NBS / local).exists():
            yield f"{target} leads nowhere"
        elif target.startswith(HOME):
            continue  # nbdev's link to a helper, which has no heading, leads to the top of its page
        elif linked and linked.text and anchor not in linked.anchors:
            yield f"{target}: there is no such heading"
    for picture in re.findall(r"!\[\]\(\S+?\)", prose):
        yield f"a picture without a description: {picture}"


def bad_names(page, words):
    "Yield the names in the text that no code has: they were renamed, or are misspelled."
    prose = [FENCED.sub("", source) for kind, source in page.cells if kind == "markdown"]
    for name in (name for text in prose for name in INLINE.findall(text)):
        if not NAME.fullmatch(name) or FILE.fullmatch(name) or name in OTHERS:
            continue
        looks_like_code = re.search(r"[a-z][A-Z]|[_.(]", name)
        if looks_like_code and not words.issuperset(re.findall(r"\w+", name)):
            yield f"`{name}` is nowhere in the code"


def bad_sidebar(pages):
    "Yield the notebooks that the sidebar lacks, those that it has in vain, or a wrong order."

    def flat(items):
        for item in items:
            if isinstance(item, dict):
                yield from flat(item["contents"])
            else:
                yield item

    quarto = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))
    listed = list(flat(quarto["website"]["sidebar"]["contents"]))
    there = [page.name.as_posix() for page in pages]
    lacking = [name for name in there if name not in listed]
    in_vain = [name for name in listed if name not in there]
    yield from (f"it lacks {name}" for name in lacking)
    yield from (f"{name} is not there" for name in in_vain)
    if not lacking and not in_vain and listed != there:
        first = next(name for name, wanted in zip(listed, there) if name != wanted)
        yield f"its notebooks are not in reading order, from {first} on"


def convert(page, folder):
    "Make HTML of a page below `folder`, and return what pandoc complains about."
    at = folder / page.url
    markdown = (folder / page.name).with_suffix(".md")
    up = os.path.relpath(folder, at.parent)
    files = {at.parent / name: data for name, data in page.figures.items()}
    files[markdown] = page.text.encode()
    for file, data in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    command = ["pandoc", "-s", "--mathml", "-L", NBS / "site.lua", "-V", f"header-includes={STYLE}"]
    command += ["-c", f"{up}/styles.css", "-o", at, markdown]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return [f"pandoc failed: {' '.join(done.stderr.split())[:250]}"]
    text = at.read_text(encoding="utf-8")
    text = re.sub(r'(href="[^":]*?)(?:\d+_)?([^"/]+)\.ipynb', r"\1\2.html", text)
    at.write_text(text.replace(HOME, f"{up}/"), encoding="utf-8")
    warned = done.stderr.split("[WARNING]")
    return [f"pandoc: {' '.join(text.split())[:250]}" for text in warned if text.strip()]


def main():
    parser = argparse.ArgumentParser(description="Check the pages of the documentation site.")
    parser.add_argument("--html", type=Path, help="leave the pages in this folder")
    args = parser.parse_args()
    has_pandoc = shutil.which("pandoc")
    if args.html and not has_pandoc:
        sys.exit("pandoc makes the pages, and is not installed")
    sys.path.insert(0, str(ROOT))  # deepir of this tree, even where another one is installed
    os.environ["IN_TEST"] = "1"  # as in nbdev_docs
    if not NbdevLookup()["evaluate"]:
        sys.exit("deepir is not installed: pip install -e '.[dev]'")
    pages = [Page(path) for path in notebook_paths()]
    code = (source for page in pages for kind, source in page.cells if kind == "code")
    words = set(re.findall(r"\w+", " ".join(code))) | set(dir(builtins))
    for page in pages:
        page.problems += [*bad_links(page, pages), *bad_names(page, words)]
    if has_pandoc:
        with tempfile.TemporaryDirectory() as temporary:
            folder = args.html or Path(temporary)
            for page in pages:
                if page.text:
                    page.problems += convert(page, folder)
            shutil.copy(NBS / "styles.css", folder)
            shutil.copytree(NBS / "images", folder / "images", dirs_exist_ok=True)
    problems = [f"nbs/{page.name}: {problem}" for page in pages for problem in page.problems]
    problems += [f"_quarto.yml, sidebar: {problem}" for problem in bad_sidebar(pages)]
    for problem in problems:
        print(problem)
    if not problems:
        left_out = "" if has_pandoc else "; left out: converting them, since pandoc is not here"
        print(f"{len(pages)} pages of the site in order{left_out}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
