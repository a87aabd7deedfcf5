"""Cubic splines in place of radial functions, interpolated by a kernel."""
