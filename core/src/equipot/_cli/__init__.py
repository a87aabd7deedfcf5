"""Command line: one module a command, none of which imports torch at import."""
