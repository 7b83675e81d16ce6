"""Check the pages of the documentation site, without Quarto, and look at them.

    python tools/site.py               the checks; with pandoc, every page is converted too
    python tools/site.py --html pages  and the converted pages stay in this folder

Every notebook goes through nbdev's processing for the site and becomes the markdown that Quarto would
make of it. Checked are links, anchors and pictures, names of deepir in the text, options of cells,
formulas, tracebacks, words for those who do not see the figures of a tutorial, and the sidebar.
"""
import argparse, base64, builtins, html, os, re, shutil, subprocess, sys, tempfile, warnings
from pathlib import Path
import yaml
from execnb.nbio import read_nb
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup, nbglob
from nbdev.processors import FilterDefaults
from readme import ROOT, fenced

NBS, HOME = ROOT/'nbs', f'{get_config().doc_host}{get_config().doc_baseurl}/'  # nbdev points names to pages under HOME
FENCED, INLINE = re.compile(r'^(`{3,}).*?^\1', re.M | re.S), re.compile(r'`([^`\n]+)`')
LINK = re.compile(r'\]\(([^)\s]+)|(?:src|href)="([^"]+)"')
NAME, FILE = re.compile(r'[A-Za-z_][\w.]*(\(\))?'), re.compile(r'.*\.(jpe?g|png|pt|np[yz]|json|txt|pkl|csv|html|ipynb|ini|py)')
OTHERS = {'__main__', 'common.load_checkpoint', 'dirtorch.test_dir', 'efficientnet_v2_l', 'extract_features.confs'}  # names in other code
# In the place of Quarto's theme.
PLAIN = '<style>body { max-width: 56rem; margin: 2rem auto; font: 1rem/1.5 sans-serif } img { max-width: 100% } pre > code.sourceCode { white-space: pre-wrap }</style>'

class Page:
    "A notebook as a page of the site: its text, figures and anchors, and what is wrong with it."
    def __init__(self, path):
        self.name, self.figures, self.problems, nb = path.relative_to(NBS), {}, [], read_nb(path)
        self.cells = [(c.cell_type, c.source) for c in nb.cells]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            try: FilterDefaults()(nb)
            except Exception as e: nb.cells = self.problems.append(f'nbdev cannot make a page of it: {" ".join(str(e).split())}: {e.__cause__!r}') or []
        mixed = [str(w.message).split('---')[1].strip() for w in caught if 'imports and other code' in str(w.message)]
        self.problems += [f'imports and other code in one cell, which the site would run whole: {code[:80]!r}' for code in mixed]
        self.url = self.name.with_name(getattr(nb, 'frontmatter_', {}).get('output-file', 'untitled.html'))
        self.text = '\n\n'.join(self.markdown(i, cell) for i, cell in enumerate(nb.cells) if cell.source)
        self.anchors = {'', *slugs(self.text)}
        if '<locals>' in self.text: self.problems.append('a decorator hides the name of what it decorates: functools.wraps')

    def markdown(self, i, cell):
        "A cell as Quarto hands it to pandoc."
        if cell.cell_type != 'code': return cell.source
        top, code = re.fullmatch(r'((?:#\|[^\n]*\n?)*)(.*)', cell.source, re.S).groups()
        try: options = yaml.safe_load(re.sub(r'^#\|', '', top, flags=re.M)) or {}
        except yaml.YAMLError: options = self.problems.append(f'Quarto cannot read {top.strip()!r}: put the text in quotes') or {}
        fold = ''.join(f' {k}="{options[k]}"' for k in ('code-fold', 'code-summary') if k in options)
        blocks = [f'```` {{.python .cell-code{fold}}}\n{code}\n````'] if options.get('echo', True) and code.strip() else []
        outputs, before = cell.get('outputs', []) if options.get('output', True) else [], len(self.figures)
        texts = [self.output(out, f'{self.url.stem}_files/{i}-{j}', options.get('fig-alt', '')) for j, out in enumerate(outputs)]
        if any('Traceback (most recent call last)' in t for t in texts) or any(o.output_type == 'error' for o in outputs):
            self.problems.append(f'a traceback comes of {code[:80]!r}')
        if len(self.figures) > before and self.name.parent.name == 'tutorials' and not options.get('fig-alt'):
            self.problems.append(f'a figure has no words for those who do not see it: add #| fig-alt: "..." to {code[:80]!r}')
        if options.get('output') == 'asis': return '\n\n'.join(blocks + texts)
        return '\n\n'.join(['::: {.cell}', *blocks, *(f'::: {{.cell-output}}\n{t}\n:::' for t in texts), ':::'])

    def output(self, out, name, alt):
        "An output in its richest form; the bytes of a figure go to `figures`."
        data = {kind: ''.join(x) for kind, x in out.get('data', {'text/plain': out.get('text', '')}).items()}
        for kind in ('png', 'jpeg'):
            if f'image/{kind}' in data:
                self.figures[f'{name}.{kind}'] = base64.b64decode(data[f'image/{kind}'])
                return fenced(f'<p><img src="{name}.{kind}" alt="{html.escape(str(alt))}"></p>', '{=html}')
        if 'text/markdown' in data: return data['text/markdown']
        if 'text/html' in data: return fenced(data['text/html'], '{=html}')
        return fenced(data.get('text/plain', ''))

def slugs(text):
    "The anchors that pandoc gives to the headings of `text`."
    seen = {}
    for heading in re.findall(r'^#{1,6} +(.+?) *#*$', FENCED.sub('', text), re.M):
        words = re.sub(r'[^\w\s.-]', '', re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading)).split()
        slug = re.sub(r'^[\W\d_]+', '', '-'.join(words).lower()) or 'section'
        seen[slug] = n = seen.get(slug, -1) + 1
        yield f'{slug}-{n}' if n else slug

def bad_links(page, pages):
    "Links and pictures of a page that lead nowhere."
    by_file = {str(p.name): p for p in pages} | {str(p.url): p for p in pages}
    for target in (a or b for a, b in LINK.findall(INLINE.sub('', FENCED.sub('', page.text)))):
        if re.match(r'\w+:', target) and not target.startswith(HOME): continue  # elsewhere
        file, _, anchor = target.removeprefix(HOME).partition('#')
        local = str(page.name) if not file else file if target.startswith(HOME) else os.path.normpath(page.name.parent/file)
        other = by_file.get(local)
        anchor = re.sub(r'^(\w+)\.\w+$', r'\1', anchor)  # nbs/site.lua leads from a method to its class
        if not other and not (NBS/local).exists(): yield f'{target} leads nowhere'
        elif other and other.text and anchor not in other.anchors: yield f'{target}: there is no such heading'
    yield from (f'a picture without words: {m}' for m in re.findall(r'!\[\]\(\S+?\)', FENCED.sub('', page.text)))

def bad_names(page, words):
    "Names in the text that no code has: renamed, or misspelled."
    for name in (n for kind, source in page.cells if kind == 'markdown' for n in INLINE.findall(FENCED.sub('', source))):
        like_ours = NAME.fullmatch(name) and re.search(r'[a-z][A-Z]|[_.(]', name) and not FILE.fullmatch(name) and name not in OTHERS
        if like_ours and not words.issuperset(re.findall(r'\w+', name)): yield f'`{name}` is nowhere in the code'

def bad_sidebar(pages):
    "Notebooks that the sidebar lacks, and the other way around."
    def flat(items): return [p for i in items for p in (flat(i['contents']) if isinstance(i, dict) else [i])]
    listed = flat(yaml.safe_load((ROOT/'_quarto.yml').read_text())['website']['sidebar']['contents'])
    there = sorted((p.name.as_posix() for p in pages), key=lambda s: (s != 'index.ipynb', s.startswith('api/'), s))
    wrong = [f'it lacks {p}' for p in there if p not in listed] + [f'{p} is not there' for p in listed if p not in there]
    return wrong or ([] if listed == there else ['its notebooks are not in order'])

def convert(page, folder):
    "Make HTML of a page, and return what pandoc complains about."
    at, markdown = folder/page.url, (folder/page.name).with_suffix('.md')
    up = os.path.relpath(folder, at.parent)
    for file, data in {markdown: page.text.encode(), **{at.parent/name: data for name, data in page.figures.items()}}.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    done = subprocess.run(['pandoc', '-s', '--mathml', '-L', NBS/'site.lua', '-V', f'header-includes={PLAIN}', '-c', f'{up}/styles.css',
                           '-o', at, markdown], capture_output=True, text=True)
    text = re.sub(r'(href="[^":]*?)(?:\d+_)?([^"/]+)\.ipynb', r'\1\2.html', at.read_text(encoding='utf-8')).replace(HOME, f'{up}/')
    at.write_text(text, encoding='utf-8')
    return [f'pandoc: {" ".join(w.split())[:250]}' for w in done.stderr.split('[WARNING]') if w.strip()]

def main():
    parser = argparse.ArgumentParser(description='Check the pages of the documentation site.')
    parser.add_argument('--html', type=Path, help='leave the pages in this folder')
    args, pandoc = parser.parse_args(), shutil.which('pandoc')
    if args.html and not pandoc: sys.exit('pandoc is not here, and makes the pages')
    os.environ['IN_TEST'] = '1'  # as in nbdev_docs
    if not NbdevLookup()['evaluate']: sys.exit("deepir is not installed: pip install -e '.[dev]'")
    pages = [Page(p) for p in sorted(nbglob(NBS, as_path=True))]
    words = set(re.findall(r'\w+', ' '.join(s for p in pages for kind, s in p.cells if kind == 'code'))) | set(dir(builtins))
    for p in pages: p.problems += [*bad_links(p, pages), *bad_names(p, words)]
    with tempfile.TemporaryDirectory() as tmp:
        folder = args.html or Path(tmp)
        if pandoc:
            for p in pages: p.problems += convert(p, folder) if p.text else []
            shutil.copy(NBS/'styles.css', folder)
            shutil.copytree(NBS/'images', folder/'images', dirs_exist_ok=True)
    problems = [f'nbs/{p.name}: {x}' for p in pages for x in p.problems] + [f'_quarto.yml, sidebar: {x}' for x in bad_sidebar(pages)]
    for p in problems: print(p)
    if not problems: print(f'{len(pages)} pages of the site in order' + ('' if pandoc else '; left out: converting them, for pandoc is not here'))
    sys.exit(bool(problems))

if __name__ == '__main__': main()
