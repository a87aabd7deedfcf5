"""Hostile inputs, and the measure of what equipot does with them.

``python -m hostile`` (with this folder's parent on the path) makes every input from a valid one, gives it to the
command line inside a sandbox, and watches what happens. An input must be refused with a message and exit code 2, or be
harmless for a stated reason. Nothing in it may run, start a process, open a socket, or write or delete anything outside
the run's folder; nothing may end in a traceback, wait without end, or take much more memory than the file.
"""
