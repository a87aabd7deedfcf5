"""A contract for import-linter: packages do not import each other's private modules.

The forbidden contract that comes with import-linter has no pattern for names that begin with an underscore; a list of
them would miss every new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from importlinter import Contract, ContractCheck, fields, output

if TYPE_CHECKING:
    from grimp import ImportGraph


class PrivateImports(Contract):
    """What starts with an underscore, or lies in a package that does, belongs to its own distribution.

    Options: ``packages``, whose imports are looked at. Imports within a package are its own business.
    """

    type_name = "private_imports"

    packages = fields.SetField(subfield=fields.ModuleField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: FBT001 - import-linter's signature
        """Find the imports of private modules of other packages."""
        found: list[dict[str, Any]] = []
        for package in sorted(str(one) for one in self.packages):  # type: ignore[attr-defined]
            output.verbose_print(verbose, f"Searching for private imports of {package}...")
            for importer in {package, *graph.find_descendants(package)}:
                for imported in graph.find_modules_directly_imported_by(importer):
                    root, *parts = imported.split(".")
                    if root != package and any(part.startswith("_") for part in parts):
                        found += graph.get_import_details(importer=importer, imported=imported)
        found.sort(key=lambda one: (one["importer"], one["line_number"]))
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each import."""
        for one in check.metadata["found"]:
            line = f"{one['importer']} (line {one['line_number']}) imports the private module {one['imported']}"
            output.print_error(line, bold=False)
