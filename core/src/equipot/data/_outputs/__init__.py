"""Readers of what programs print: one frame per geometry, with what the program says of its self-consistent cycle."""
