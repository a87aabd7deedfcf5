"""Scripts of this repository as modules, so that tests can call their functions."""

import importlib.util

from equipot_test_support import ROOT


def load_script(path):
    """Run a script and give its module; the path begins at the root of the repository."""
    file = ROOT / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
