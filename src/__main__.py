"""The program `calipso`."""

import os
import sys

from calipso.cli.main import app
from calipso.errors import CalipsoError, Invalid
from calipso.secrecy import hide


def main() -> None:
    """Run the command line; what goes wrong on purpose is told in one sentence, with status 1 (78 for settings)."""
    try:
        app()
    except CalipsoError as error:
        print(f"error: {hide(str(error))}", file=sys.stderr)  # noqa: T201 - a command line prints
        is_setting = isinstance(error, Invalid) and error.field == "settings"
        sys.exit(os.EX_CONFIG if is_setting else 1)


if __name__ == "__main__":
    main()
