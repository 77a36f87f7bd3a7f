"""Parts of vinoserve that an installation may not have."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str, command: str) -> Iterator[None]:
    """Around an import of the package of an extra: exits with what to install where a library of it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        print(
            f"vinoserve {command} needs the {extra} ({error.name} is missing): pip install 'vinoserve[{extra}]'",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
