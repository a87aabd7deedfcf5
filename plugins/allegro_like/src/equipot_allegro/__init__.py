"""Strictly local equivariant models (Allegro) for equipot, and what an embedding of one's own is made of."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
