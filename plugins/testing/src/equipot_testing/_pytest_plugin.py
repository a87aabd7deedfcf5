"""What the conformance kit adds to pytest, loaded in every run through the entry point ``pytest11``.

It imports nothing heavy; fixtures import torch when a test asks for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from equipot_testing.frames import Structure


def pytest_configure(config: pytest.Config) -> None:
    """Register the kit's marker, so that ``--strict-markers`` accepts it."""
    config.addinivalue_line("markers", "slow: takes more than a few seconds")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Turn the flags of the kit's checks into pytest's marks."""
    function = getattr(item, "function", None)
    if getattr(function, "equipot_slow", False) or getattr(function, "equipot_starts_python", False):
        item.add_marker("slow")
    if reason := getattr(function, "equipot_expected_failure", ""):
        item.add_marker(pytest.mark.xfail(strict=True, reason=reason))


@pytest.fixture
def equipot_structures() -> Callable[[int], dict[str, Structure]]:
    """Bulk, slab, wire, molecule and lone atom for a number of types, by name."""
    from equipot_testing.frames import standard_structures

    return standard_structures


@pytest.fixture
def fresh_plugins() -> Iterator[None]:
    """Reload plugins in this test, with the environment as it is then, and again afterwards."""
    from equipot.plugins import plugins

    plugins.cache_clear()
    yield
    plugins.cache_clear()
