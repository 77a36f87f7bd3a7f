"""Kubernetes manifests from files, read as kubectl reads them, and stricter where it is lenient at the user's cost."""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import yaml

from vinoserve_api.problem import InvalidObject, Problem, path_of
from vinoserve_api.reading import read_class, read_service
from vinoserve_api.v1alpha1 import API_VERSION, AcceleratorClass, InferenceService

_MAX_NODES: Final = 100_000
_METADATA: Final = (
    "name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences", "managedFields", "uid",
    "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink",
)  # fmt: skip
_READERS: Final[dict[str, Callable[[dict[str, Any]], InferenceService | AcceleratorClass]]] = {
    "InferenceService": read_service,
    "AcceleratorClass": read_class,
}


class UnreadableError(Exception):
    """A file that can't be read, or that is no YAML. `str()` names the file and, where it can, the line."""


@dataclass(frozen=True)
class Found:
    """What a document of a file holds: an object, or its problems."""

    file: str
    line: int
    object: InferenceService | AcceleratorClass | None
    problems: tuple[Problem, ...]


def read_files(files: list[str]) -> list[Found]:
    """Every document of the files; `-` is standard input. Raises UnreadableError."""
    return [found for file in files for found in _read_file(file)]


def _read_file(file: str) -> Iterator[Found]:
    empty = True
    for line, document in _load(file, _read_text(file)):
        empty = False
        is_list = isinstance(document, dict) and document.get("kind") == "List"
        for item in (document.get("items") or []) if is_list else [document]:
            yield _read_document(file, line, item)
    if empty:
        raise UnreadableError(f"{file}: holds no object; write an InferenceService or an AcceleratorClass")


def _read_text(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise UnreadableError(f"{file}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{file}: is not UTF-8 at byte {error.start}") from None


def _read_document(file: str, line: int, document: Any) -> Found:
    problems = tuple(_check_metadata(document))
    try:
        found = _reader_of(document)(document)
    except InvalidObject as error:
        return Found(file, line, None, problems + error.problems)
    return Found(file, line, None if problems else found, problems)


def _check_metadata(document: Any) -> Iterator[Problem]:
    """Misspelt fields, as kubectl finds them. Objects from a cluster may have more, so only manifests are asked."""
    metadata = document.get("metadata") if isinstance(document, dict) else None
    for name in metadata if isinstance(metadata, dict) else ():
        if name not in _METADATA:
            close = get_close_matches(name, _METADATA, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield Problem(path_of(("metadata", name)), f"unknown field{hint}")


def _reader_of(document: Any) -> Callable[[dict[str, Any]], InferenceService | AcceleratorClass]:
    if not isinstance(document, dict):
        raise InvalidObject([Problem("", "is no object; a manifest begins with apiVersion and kind")])
    version, kind = document.get("apiVersion"), document.get("kind")
    if kind not in _READERS:
        found = f"{kind!r} is not known" if kind else "is missing"
        raise InvalidObject([Problem("kind", f"{found}; write InferenceService or AcceleratorClass")])
    if version != API_VERSION:
        found = f"{version!r} is not known" if version else "is missing"
        raise InvalidObject([Problem("apiVersion", f"{found}; write {API_VERSION}")])
    return _READERS[kind]


def _load(file: str, text: str) -> Iterator[tuple[int, Any]]:
    """The documents with the lines where they begin; empty ones are left out."""
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is None or node.tag == "tag:yaml.org,2002:null":
                continue
            _refuse_bombs(node)
            yield node.start_mark.line + 1, loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        raise UnreadableError(f"{file}:{where} {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise UnreadableError(f"{file}: is no YAML: {' '.join(str(error).split())}") from None
    except ValueError as error:  # a number that Python refuses to read
        raise UnreadableError(f"{file}: {error}") from None
    except RecursionError:
        raise UnreadableError(f"{file}: is nested too deep") from None


def _refuse_bombs(root: yaml.Node) -> None:
    """Aliases may repeat a part, but not blow a file up, nor hold themselves."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in open_nodes:
            raise yaml.MarkedYAMLError(problem="an alias holds itself", problem_mark=node.start_mark)
        if id(node) not in sizes:
            open_nodes.add(id(node))
            parts: list[yaml.Node] = []
            if isinstance(node, yaml.MappingNode):
                parts = [part for pair in node.value for part in pair]
            elif isinstance(node, yaml.SequenceNode):
                parts = node.value
            sizes[id(node)] = 1 + sum(size(part) for part in parts)
            open_nodes.discard(id(node))
            if sizes[id(node)] > _MAX_NODES:
                raise yaml.MarkedYAMLError(
                    problem=f"aliases make more than {_MAX_NODES} values of this",
                    problem_mark=node.start_mark,
                )
        return sizes[id(node)]

    size(root)


class _Loader(yaml.SafeLoader):
    """Plain values as kubectl takes them: no dates and no base 60; 1e3 is a number, and 2.0 is 2, as JSON from Go has it."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    yaml_constructors = {
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in ("null", "bool", "int", "float", "str", "seq", "map")
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a plain text", problem_mark=key.start_mark)
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key.value!r} is there twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
            key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep=deep)


def _construct_float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float | int:
    number = loader.construct_yaml_float(node)
    return int(number) if number.is_integer() else number


_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)
for _tag, _pattern, _first in (
    ("bool", r"yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF", "yYnNtTfFoO"),
    ("int", r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9_]+|[0-9][0-9_]*(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("merge", "<<", "<"),
    ("null", "~|null|Null|NULL|", "~nN\0"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(f"^(?:{_pattern})$"),
        [c if c != "\0" else "" for c in _first],
    )
