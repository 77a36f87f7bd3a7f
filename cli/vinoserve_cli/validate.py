"""`vinoserve validate`: what is wrong with manifests, a line a problem."""

import sys

from vinoserve_cli.manifests import Found, UnreadableError, read_files


def validate(files: list[str]) -> int:
    """Exit code 0 where all is well, 1 where an object isn't, 2 where a file can't be read."""
    code = 0
    for file in files:
        try:
            found = read_files([file])
        except UnreadableError as error:
            print(error, file=sys.stderr)
            code = 2
            continue
        if print_problems(found):
            code = code or 1
        else:
            print(f"{file}: valid")
    return code


def print_problems(found: list[Found]) -> bool:
    """Whether there are any. Where a file holds several objects, the line where each begins is said too."""
    files = [one.file for one in found]
    for one in found:
        where = one.file if files.count(one.file) == 1 else f"{one.file}:{one.line}"
        for problem in one.problems:
            print(f"{where}: {problem}")
    return any(one.problems for one in found)
