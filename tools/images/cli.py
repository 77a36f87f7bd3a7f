"""Make the project's container images without a container engine; prints the archives' paths."""

import argparse
import dataclasses
import json
import sys

from tools.images.recipes import RECIPES, build_images
from tools.toolbox.errors import run_main


def main() -> int:
    return run_main("images", run_command)


def run_command() -> int:
    parser = argparse.ArgumentParser(prog="images", description=__doc__)
    parser.add_argument("kinds", nargs="+", choices=list(RECIPES), metavar="KIND", help=", ".join(RECIPES))
    parser.add_argument("--json", action="store_true", help="print kind, tag and archive of each")
    options = parser.parse_args()
    images = build_images([RECIPES[kind] for kind in dict.fromkeys(options.kinds)])
    if options.json:
        print(json.dumps([dataclasses.asdict(image) for image in images], default=str))
    else:
        print("\n".join(str(image.archive) for image in images))
    return 0


if __name__ == "__main__":
    sys.exit(main())
