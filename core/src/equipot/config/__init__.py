"""Configs: load and compose, check everything before data are read, resolve, instantiate."""
