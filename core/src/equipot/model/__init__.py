"""Models: slots, recipes and the registered model builders.

Every registered builder is available as ``equipot.model.NAME``; a missing one says what to install.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

_exported, _, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name in __all__:
        return _exported(name)
    from equipot.plugins import registered_attribute

    return registered_attribute("model_builders", __name__, name)


def __dir__() -> list[str]:
    from equipot.plugins import registered_names

    return registered_names("model_builders", __name__)
