"""`python -m vinoserve_operator`: the same as `vinoserve operator`."""

import sys

from vinoserve_operator.commands import run

if __name__ == "__main__":
    sys.exit(run())
