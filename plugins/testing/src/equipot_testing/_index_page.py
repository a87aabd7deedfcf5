"""The page of an index of plugins: plain HTML without any script, all texts escaped."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from equipot.plugins import HOOKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Plugins for equipot</title>
<style>
body { font: 15px/1.5 sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; } td, th { text-align: left; vertical-align: top; padding: .4em .8em .4em 0;
border-bottom: 1px solid #ccc; } .holds { color: #060; } .broken { color: #a00; } small, .unknown { color: #555; }
</style>
</head>
<body>
"""


def page(index: dict[str, Any]) -> str:
    """The whole page.

    Args:
        index: As in ``index.json``.
    """
    versions = sorted({version for one in index["plugins"] for version in one["verdicts"]})
    return "\n".join([_HEAD.rstrip(), *_body(index, versions), "</body>", "</html>", ""])


def _body(index: dict[str, Any], versions: list[str]) -> Iterator[str]:
    made = index["made_with"]
    yield "<h1>Plugins for equipot</h1>"
    yield f"<p>Made with equipot {_text(made['equipot'])} and version {_text(made['kit'])} of the conformance kit.</p>"
    titles = ["plugin", "declares", "needs", *(f"equipot {version}" for version in versions)]
    yield f"<table><thead><tr>{''.join(f'<th>{_text(title)}</th>' for title in titles)}</tr></thead><tbody>"
    for one in index["plugins"]:
        cells = [_plugin(one), _declares(one["declares"]), _needs(one)]
        cells += [_verdict(one["verdicts"].get(version)) for version in versions]
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    yield "</tbody></table>"
    if index["problems"]:
        yield "<h2>Not listed</h2>"
        yield from _list(f"{_text(one['wheel'])}: {_text(one['reason'])}" for one in index["problems"])


def _plugin(one: dict[str, Any]) -> str:
    links = [
        f'<a href="{_text(address)}" rel="nofollow noopener">{_text(label)}</a>'
        for label, address in one["links"].items()
    ]
    lines = [
        f"<strong>{_text(one['distribution'])}</strong> {_text(one['version'])}",
        _text(one["summary"]),
        f"<small>{_text(one['license'])}</small>",
        ", ".join(links),
        f"<code>pip install {_text(one['distribution'])}</code>",
    ]
    return "<br>".join(line for line in lines if line != "<small></small>" and line)


def _declares(declared: list[dict[str, str]]) -> str:
    by_kind: dict[str, list[str]] = {}
    for one in declared:
        if one["kind"] in HOOKS:
            name = f'<code title="{_text(one["summary"])}">{_text(one["name"])}</code>'
            by_kind.setdefault(one["kind"], []).append(name)
    return "<br>".join(f"{_text(kind.replace('_', ' '))}: {', '.join(names)}" for kind, names in by_kind.items())


def _needs(one: dict[str, Any]) -> str:
    python = [f"Python {one['requires_python']}"] if one["requires_python"] else []
    return "<br>".join(_text(line) for line in [*python, *one["requires"]])


def _verdict(verdict: dict[str, Any] | None) -> str:
    if verdict is None:
        return '<span class="unknown">not checked</span>'
    state = "holds" if verdict["passed"] else "broken" if verdict["broken"] else "unknown"
    broken = f"<br><small>{_text(', '.join(verdict['broken']))}</small>" if verdict["broken"] else ""
    return f'<span class="{state}">{_text(verdict["message"])}</span>{broken}'


def _list(lines: Iterable[str]) -> Iterator[str]:
    yield f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)
