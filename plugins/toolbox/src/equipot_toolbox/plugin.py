"""The entry point: this package declares nothing, its classes are reached by ``_target_``."""
