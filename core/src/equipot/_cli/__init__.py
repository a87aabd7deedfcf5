"""The command line: each command has a module, and importing it does not import torch."""
