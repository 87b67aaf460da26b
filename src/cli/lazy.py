"""Groups that import a command when it is called, and not to tell that it is there.

After the lazy groups that click documents; but what a group's help says of such a command stands in a table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


@dataclass(frozen=True)
class Lazy:
    """A command that is not imported yet.

    Args:
        place: `module:attribute` of its function, or of the app of a group.
        help: the first paragraph of its help.
        epilog: what stands below the help of a function.
    """

    place: str
    help: str
    epilog: str | None = None


def lazily(commands: Mapping[str, Lazy]) -> type[TyperGroup]:
    """A class of groups that have these commands behind their other ones."""

    class LazyGroup(TyperGroup):
        """What is listed of the lazy commands are their names and help; what is called is the command itself."""

        def __init__(self, **given: Any) -> None:  # noqa: ANN401 - passed on
            super().__init__(**given)
            for name, lazy in commands.items():
                self.add_command(TyperCommand(name, help=lazy.help))

        def resolve_command(
            self,
            ctx: Any,  # noqa: ANN401 - the library does not publish its type
            args: list[str],
        ) -> tuple[str | None, Any, list[str]]:
            """Find the command that is called, to run it as well as to complete its arguments."""
            name, listed, rest = super().resolve_command(ctx, args)
            if name is None or name not in commands:
                return name, listed, rest
            return name, _load(name, commands[name], self.rich_markup_mode), rest

    return LazyGroup


def _load(name: str, lazy: Lazy, markup: Literal["markdown", "rich"] | None) -> object:
    module, _, attribute = lazy.place.partition(":")
    found = getattr(import_module(module), attribute)
    group = typer.Typer(rich_markup_mode=markup)
    if isinstance(found, typer.Typer):
        group.add_typer(found, name=name)
    else:
        group.command(name, epilog=lazy.epilog)(found)
    return get_group(group).commands[name]
