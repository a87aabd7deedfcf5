"""The page around the sections: one file, no network, readable on a telephone and on paper."""

from __future__ import annotations

from collections.abc import Iterable

from equipot_fit._report._html import Markup, element, escaped, joined

STYLE = """
:root { color-scheme: light; --ink: #1d2329; --soft: #55606b; --line: #d5dbe1; --tint: #f4f6f8; --accent: #0b5d91; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", "DejaVu Sans", Arial, sans-serif; overflow-wrap: anywhere; }
main, header, nav, footer { max-width: 1120px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 28px; } h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.3rem; margin: 2.2rem 0 .6rem; padding-top: .5rem; border-top: 2px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.2rem 0 .4rem; }
p { max-width: 78ch; margin: .5rem 0; } .lead { color: var(--soft); margin: 0; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .92rem; }
a { color: var(--accent); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 210px), 1fr)); gap: 12px; }
.card { border: 1px solid var(--line); border-left: 4px solid var(--accent); border-radius: 4px;
  padding: 10px 14px; background: var(--tint); }
.card .value { font-size: 1.8rem; font-weight: 600; } .card small { color: var(--soft); font-size: .85rem; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); gap: 16px;
  align-items: start; }
figure { margin: 0; } figure img { max-width: 100%; height: auto; display: block; }
figcaption { font-size: .85rem; color: var(--soft); }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .9rem; min-width: min(100%, 320px); overflow-wrap: break-word; }
caption { text-align: left; font-weight: 600; padding: 4px 0; }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; } tbody th { font-weight: 500; }
td:not(.number), tbody th { overflow-wrap: anywhere; min-width: 7rem; max-width: 46rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead th.number { white-space: normal; overflow-wrap: normal; }
tbody th { min-width: 9rem; }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: 4px; padding: 10px; overflow-x: auto;
  font-size: .85rem; white-space: pre-wrap; }
code { font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .92em; }
.warning { border-left: 4px solid #a3003d; background: #fdf1f4; padding: 8px 12px; } .bad { color: #a3003d; }
.best { font-weight: 700; } .best::before { content: "★ "; }
footer { color: var(--soft); font-size: .85rem; padding: 24px 20px; }
@media (max-width: 480px) { main, header, nav, footer { padding-left: 12px; padding-right: 12px;
  } body { font-size: 15px; } }
@media print {
  body { font-size: 10.5pt; } nav { display: none; } h2 { break-after: avoid;
  } figure, tr, .card { break-inside: avoid; }
  .gallery { grid-template-columns: repeat(2, 1fr); } .scroll { overflow: visible; } a { color: inherit;
  text-decoration: none; }
  main, header, footer { max-width: none; padding: 0; }
}
"""


def page(title: str, lead: str, sections: Iterable[tuple[str, str, str]], footer: str) -> str:
    """A whole page.

    Args:
        title: Of the page.
        lead: One line below it.
        sections: Anchor, title and HTML of each.
        footer: Last line.
    """
    listed = list(sections)
    links = "".join(f'<li><a href="#{escaped(anchor)}">{escaped(name)}</a></li>' for anchor, name, _ in listed)
    body = joined(
        Markup(f'<section id="{escaped(anchor)}">{element("h2", name)}\n{content}</section>')
        for anchor, name, content in listed
    )
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{escaped(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header>{element('h1', title)}{element('p', lead, class_='lead')}</header>\n"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n<main>\n{body}\n</main>\n'
        f"<footer>{escaped(footer)}</footer>\n</body>\n</html>\n"
    )
