"""Make README.md from nbs/index.ipynb.

    python tools/readme.py           write README.md and the figures it shows
    python tools/readme.py --check   write nothing; exit 1 when they are not up to date

README.md shows the text, the code and the saved outputs. Hidden and exported cells are left out,
as on the documentation site. Links and pictures are relative to nbs/ in the notebook and to the
root in README.md. A figure among the outputs is saved as nbs/images/index-N.png.
"""

import base64
import re
import sys

from nbdev.process import NBProcessor
from nbdev.processors import (
    clean_magics,
    filter_stream_,
    hide_,
    hide_line,
    rm_export,
    rm_header_dash,
    strip_ansi,
)
from project import NBS, ROOT

PROCESSORS = [hide_, hide_line, rm_export, rm_header_dash, filter_stream_, strip_ansi, clean_magics]
NOTE = "<!-- Made from nbs/index.ipynb by tools/readme.py: do not edit. -->"


def fenced(text, language=""):
    return f"```{language}\n{text.rstrip()}\n```"


def from_root(text):
    "Point the relative links and pictures of `text` to nbs/, outside of code."
    parts = re.split(r"(```.*?```|`[^`]*`)", text, flags=re.DOTALL)
    parts[::2] = [
        re.sub(r'(\]\(|(?:src|href)=")(?!\w+:|#|/)', r"\1nbs/", prose) for prose in parts[::2]
    ]
    return "".join(parts)


def render_output(output, figures):
    "Return one output as markdown, in the richest form that GitHub shows."
    if output.output_type == "stream":
        return fenced("".join(output.text)) if output.name == "stdout" else ""
    data = output.get("data", {})
    if "image/png" in data:
        name = f"nbs/images/index-{len(figures) + 1}.png"
        figures[name] = base64.b64decode("".join(data["image/png"]))
        return f"![]({name})"
    for kind in ("text/markdown", "text/html"):
        if kind in data:
            return from_root("".join(data[kind]))
    return fenced("".join(data.get("text/plain", "")))


def render_cell(cell, figures):
    "Return one cell as a list of markdown blocks, and add its pictures to `figures`."
    if cell.cell_type != "code":
        return [from_root(cell.source)]

    def shows(option):
        return cell.directives_.get(f"{option}:", [""])[0] != "false"

    blocks = []
    code = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.MULTILINE)
    if shows("echo") and code.strip():
        blocks.append(fenced(code, "python"))
    if shows("output"):
        blocks += [render_output(output, figures) for output in cell.get("outputs", [])]
    return blocks


def build():
    "Return every file made from the index: its path from the root -> its bytes."
    cells = NBProcessor(NBS / "index.ipynb", PROCESSORS, process=True).nb.cells
    figures = {}
    blocks = [block.strip("\n") for cell in cells for block in render_cell(cell, figures)]
    blocks.insert(1, NOTE)
    readme = "\n\n".join(block for block in blocks if block.strip()) + "\n"
    return {"README.md": readme.encode(), **figures}


def main():
    files = build()
    saved = {str(path.relative_to(ROOT)) for path in NBS.glob("images/index-*.png")}
    stale = sorted(saved - files.keys())
    changed = [
        name
        for name, data in files.items()
        if not (ROOT / name).exists() or (ROOT / name).read_bytes() != data
    ]
    if "--check" in sys.argv[1:]:
        for name in [*changed, *stale]:
            print(f"{name} is not what nbs/index.ipynb gives: run  python tools/readme.py")
        sys.exit(bool(changed or stale))
    for name in stale:
        (ROOT / name).unlink()
    for name in changed:
        (ROOT / name).parent.mkdir(exist_ok=True)
        (ROOT / name).write_bytes(files[name])
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
