"""Models of equipot in torch-sim, OpenMM, i-PI and ML-IAP.

Each name imports its engine on first use, and says what to install where the engine is missing.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
