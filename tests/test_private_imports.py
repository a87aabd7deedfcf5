"""The import-linter contract that keeps plugins off private modules."""

import grimp

from equipot_test_support.scripts import load_script

private_imports = load_script("tools/private_imports.py")


def test_private_modules_of_others_are_refused_and_own_ones_are_not():
    graph = grimp.ImportGraph()
    imports = (
        ("plugin.use", "core.public"),
        ("plugin.use", "core._private"),
        ("plugin", "core._folder.module"),
        ("plugin.use", "plugin._own"),
        ("other", "core._private"),
    )
    for line, (importer, imported) in enumerate(imports):
        graph.add_import(importer=importer, imported=imported, line_number=line, line_contents="")
    options = {"packages": ["plugin"]}
    contract = private_imports.PrivateImports("name", {"root_packages": ["plugin", "core", "other"]}, options)
    check = contract.check(graph, verbose=False)
    assert not check.kept
    found = {(one["importer"], one["imported"]) for one in check.metadata["found"]}
    assert found == {("plugin", "core._folder.module"), ("plugin.use", "core._private")}
