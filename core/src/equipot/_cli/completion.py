"""``equipot completion``."""

from __future__ import annotations

import click

PROGRAMS = ("equipot", "equipot-train", "equipot-compile", "equipot-package")


@click.command(
    epilog='\b\nbash: add  eval "$(equipot completion bash)"  to ~/.bashrc\n'
    'zsh:  add  eval "$(equipot completion zsh)"   to ~/.zshrc, after compinit\n'
    "fish: equipot completion fish > ~/.config/fish/completions/equipot.fish"
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a script with which a shell completes commands, options and installed names."""
    from click.shell_completion import get_completion_class

    for program in PROGRAMS:
        variable = f"_{program.replace('-', '_').upper()}_COMPLETE"  # click reads this one
        script = get_completion_class(shell)
        assert script is not None  # noqa: S101 - the choices are those that click has
        print(script(click.Command(program), {}, program, variable).source())
