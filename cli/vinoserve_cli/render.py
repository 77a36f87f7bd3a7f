"""`vinoserve render`: what the operator would apply."""

import sys

from vinoserve_api.problem import InvalidObject
from vinoserve_api.v1alpha1 import AcceleratorClass, InferenceService
from vinoserve_cli.extras import needs
from vinoserve_cli.manifests import UnreadableError, read_files
from vinoserve_cli.validate import print_problems


def render(files: list[str]) -> int:
    """Prints YAML documents. Exit codes as `validate` has them; nothing is printed of files with problems."""
    with needs("operator", "render"):
        from vinoserve_operator import commands
    try:
        found = read_files(files)
    except UnreadableError as error:
        print(error, file=sys.stderr)
        return 2
    if print_problems(found):
        return 1
    objects = [one.object for one in found]
    try:
        text = commands.render(
            [one for one in objects if isinstance(one, InferenceService)],
            [one for one in objects if isinstance(one, AcceleratorClass)],
        )
    except InvalidObject as error:
        print(error, file=sys.stderr)
        return 1
    print(text, end="")
    return 0
