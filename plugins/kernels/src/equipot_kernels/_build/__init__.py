"""How a spec becomes machine code: compiler, cache, registry of kernels, and torch ops."""
