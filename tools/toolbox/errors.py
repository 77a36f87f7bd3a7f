"""The one error that a tool shows as a line, without a traceback."""

import sys
from collections.abc import Callable


class ToolError(Exception):
    """What went wrong and what would be right, in one line."""


def run_main(name: str, main: Callable[[], int]) -> int:
    """Run a tool's `main`; a ToolError is one line on stderr and exit code 1."""
    try:
        return main()
    except ToolError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted; the same command goes on where it was", file=sys.stderr)
        return 130
