"""Make README.md from nbs/index.ipynb.

    python tools/readme.py           write README.md and the figures it shows
    python tools/readme.py --check   write nothing; exit 1 when they are not up to date

Shown are the text, the code and the saved outputs. Hidden and exported cells are left out,
as on the documentation site. Links and pictures are relative to nbs/ in the notebook and
to the root in README.md. A figure among the outputs is saved as nbs/images/index-N.png.
"""
import base64, re, sys
from pathlib import Path
from nbdev.process import NBProcessor
from nbdev.processors import clean_magics, filter_stream_, hide_, hide_line, rm_export, rm_header_dash, strip_ansi

ROOT = Path(__file__).resolve().parent.parent
PROCS = [hide_, hide_line, rm_export, rm_header_dash, filter_stream_, strip_ansi, clean_magics]
NOTE = '<!-- Made from nbs/index.ipynb by tools/readme.py: do not edit. -->'

def fenced(text, language=''): return f'```{language}\n{text.rstrip()}\n```'

def from_root(text):
    "Point the relative links and pictures of `text` to nbs/, outside of code."
    parts = re.split(r'(```.*?```|`[^`]*`)', text, flags=re.S)
    parts[::2] = [re.sub(r'(\]\(|(?:src|href)=")(?!\w+:|#|/)', r'\1nbs/', p) for p in parts[::2]]
    return ''.join(parts)

def render_output(out, figures):
    "One output as markdown: the richest form that GitHub shows."
    if out.output_type == 'stream': return fenced(''.join(out.text)) if out.name == 'stdout' else ''
    data = out.get('data', {})
    if 'image/png' in data:
        name = f'nbs/images/index-{len(figures) + 1}.png'
        figures[name] = base64.b64decode(''.join(data['image/png']))
        return f'![]({name})'
    for kind in ('text/markdown', 'text/html'):
        if kind in data: return from_root(''.join(data[kind]))
    return fenced(''.join(data.get('text/plain', '')))

def render_cell(cell, figures):
    "One cell as a list of markdown blocks."
    if cell.cell_type != 'code': return [from_root(cell.source)]
    option = lambda name: cell.directives_.get(name + ':', [''])[0]
    code = re.sub(r'^#\|.*\n?', '', cell.source, flags=re.M)
    blocks = [fenced(code, 'python')] if option('echo') != 'false' and code.strip() else []
    if option('output') != 'false': blocks += [render_output(o, figures) for o in cell.get('outputs', [])]
    return blocks

def build():
    "Every file made from the index: path from the root -> bytes."
    cells, figures = NBProcessor(ROOT/'nbs/index.ipynb', PROCS, process=True).nb.cells, {}
    blocks = [b.strip('\n') for cell in cells for b in render_cell(cell, figures)]
    blocks.insert(1, NOTE)
    readme = '\n\n'.join(b for b in blocks if b.strip()) + '\n'
    return {'README.md': readme.encode(), **figures}

def main():
    files = build()
    stale = {str(p.relative_to(ROOT)) for p in ROOT.glob('nbs/images/index-*.png')} - files.keys()
    changed = [f for f, b in files.items() if not (ROOT/f).exists() or (ROOT/f).read_bytes() != b]
    if '--check' in sys.argv[1:]:
        for f in [*changed, *sorted(stale)]: print(f'{f} is not what nbs/index.ipynb gives: run  python tools/readme.py')
        sys.exit(bool(changed or stale))
    for f in stale: (ROOT/f).unlink()
    for f in changed:
        (ROOT/f).parent.mkdir(exist_ok=True)
        (ROOT/f).write_bytes(files[f])
        print(f'wrote {f}')

if __name__ == '__main__': main()
