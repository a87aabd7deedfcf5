"""Print a script that lets a shell complete commands, options and installed names.

bash: add  eval "$(equipot completion bash)"  to ~/.bashrc
zsh:  add  eval "$(equipot completion zsh)"   to ~/.zshrc, after compinit
fish: equipot completion fish > ~/.config/fish/completions/equipot.fish
"""

from __future__ import annotations

import argparse
import os

PROGRAMS = ("equipot", "equipot-train", "equipot-compile", "equipot-package")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from argcomplete.shell_integration import shellcode

    if args.shell == "fish":  # where one script completes one program
        print("\n".join(shellcode([name], shell="fish") for name in PROGRAMS))  # noqa: S604 - a name, no command
    else:
        print(shellcode(PROGRAMS, shell=args.shell))
    return 0


def complete() -> None:
    """Answer the shell, if it asks, and exit: ``argcomplete`` gives line and answer by environment and files."""
    from argcomplete import autocomplete

    autocomplete(_parser(os.environ.get("COMP_LINE", "").split()[1:]))


def _parser(words: list[str]) -> argparse.ArgumentParser:
    """All commands; only the one in the line has its arguments, so that no other is imported."""
    from equipot._cli.common import add_plugin_options
    from equipot._cli.main import command_module, command_table

    parser = argparse.ArgumentParser(prog="equipot", allow_abbrev=False)
    parser.add_argument("--version", action="store_true")
    add_plugin_options(parser)
    commands = parser.add_subparsers()
    for name, summary in command_table().items():
        command = commands.add_parser(name, help=summary, allow_abbrev=False)
        if name in words:
            module = command_module(name)
            module.add_arguments(command)
            add_plugin_options(command)
    return parser
