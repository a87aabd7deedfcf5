"""From a spec to machine code: compiler, cache, registry of kernels and their torch ops."""
