"""Fine-tuning of trained models: frozen parts, low-rank steps, new elements, replay of old frames."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
