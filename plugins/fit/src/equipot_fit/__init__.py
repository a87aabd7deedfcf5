"""From a file of labelled structures to a potential and a report.

Configs name callbacks and schedules as ``equipot_fit.NAME``; each module is imported on first use.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
