"""`python -m tools.demo up|down`: what `make demo` and `make demo-down` run."""

import sys

from tools.demo.flow import down, up
from tools.demo.options import read_options
from tools.toolbox.errors import run_main


def main() -> int:
    command, options = read_options()
    return {"up": up, "down": down}[command](options)


if __name__ == "__main__":
    sys.exit(run_main("demo", main))
