"""Distributions that are not there: folders with the metadata that Python's own look-up reads."""


def write_distribution(path, distribution, plugin_id, source, module, *, version="1.2.3", requires=(), group=None):
    """Make a distribution with one plugin importable once ``path`` is on Python's path.

    Args:
        path: Folder of modules and metadata; a second plugin of the same distribution is added.
        distribution: Its name.
        plugin_id: Name of the entry point.
        source: Text of the module.
        module: Its name.
        version: Of the distribution.
        requires: Requirements it states.
        group: Of the entry point, default the present one.
    """
    (path / f"{module}.py").write_text(source, encoding="utf-8")
    folder = path / f"{distribution.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
    lines += [f"Requires-Dist: {line}" for line in requires]
    (folder / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with (folder / "entry_points.txt").open("a", encoding="utf-8") as file:
        file.write(f"[{group or 'equipot.plugins.v1'}]\n{plugin_id} = {module}\n")


HEADER = "from equipot import hookimpl\nfrom equipot.declarations import *\n"
"""How the source of a plugin module begins."""


def declaring(kind, entry, *names, target="math.sqrt"):
    """Source of a plugin module that declares some names of a kind."""
    extra = ", persistent=True" if entry == "ModifierEntry" else ""
    lines = [f"    yield {entry}(name={name!r}, target={target!r}, summary='A test'{extra})" for name in names]
    return HEADER + f"@hookimpl\ndef equipot_{kind}():\n" + "\n".join(lines) + "\n"


def record_of(host, plugin_id):
    """What a host knows of a plugin."""
    (record,) = [record for record in host.records if record.id == plugin_id]
    return record
