"""YAML as kubectl reads it, and stricter."""

import io
import sys
from pathlib import Path

import pytest

from vinoserve_cli.manifests import UnreadableError, read_files

SERVICE = """
apiVersion: vinoserve.dev/v1alpha1
kind: InferenceService
metadata: {name: resnet50}
spec:
  model: {uri: "file:resnet50.onnx"}
"""


def read(tmp_path: Path, text: str | bytes) -> list[str]:
    """The problems in a file of this text."""
    file = tmp_path / "a.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [str(problem) for found in read_files([str(file)]) for problem in found.problems]


def unreadable(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(UnreadableError) as caught:
        read(tmp_path, text)
    return str(caught.value).replace(str(tmp_path), "")


def test_several_documents(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"---\n---{SERVICE}---{SERVICE}  replicas: 2\n---\n")
    found = read_files([str(file)])
    assert [one.problems for one in found] == [(), ()]
    assert [one.line for one in found] == [3, 9]


def test_a_list_as_kubectl_prints_it(tmp_path: Path) -> None:
    text = (
        "apiVersion: v1\nkind: List\nitems:\n- " + SERVICE.strip().replace("\n", "\n  ") + "\n- {kind: Pod}\n"
    )
    assert read(tmp_path, text) == ["kind: 'Pod' is not known; write InferenceService or AcceleratorClass"]


@pytest.mark.parametrize(
    "line",
    [
        "  replicas: 2.0",
        "  limits: {requestTimeoutSeconds: 1e1}",
        "  replicas: 0x2",
        "  suspend: off",
        "  podTemplate: {annotations: {built: 2026-01-01T00:00:00Z, at: 12:30}}",
        "  podTemplate: {labels: {on: call}}",
    ],
)
def test_plain_values_are_what_kubectl_sends(tmp_path: Path, line: str) -> None:
    assert read(tmp_path, SERVICE + line) == []


def test_aliases(tmp_path: Path) -> None:
    text = (
        SERVICE
        + "  hints: &h {numRequests: 2}\n  podTemplate: {labels: &l {a: b}, annotations: {<<: *l, c: d}}\n"
    )
    assert read(tmp_path, text) == []


def test_a_key_that_is_there_twice(tmp_path: Path) -> None:
    assert unreadable(tmp_path, SERVICE + "  replicas: 1\n  replicas: 2\n") == (
        "/a.yaml: line 8, column 3: key 'replicas' is there twice"
    )


def test_aliases_that_blow_a_file_up(tmp_path: Path) -> None:
    text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30)
    )
    assert "aliases make more than" in unreadable(tmp_path, text)
    assert "an alias holds itself" in unreadable(tmp_path, "a: &a [*a]")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [1", "line 1, column 6"),
        ("a: !!python/object:os.system x", "python/object"),
        ("a: !!binary aGk=", "binary"),
        ("\ta: 1", "line 1, column 1"),
        ("a: \x00", "is no YAML"),
        ("? [a]\n: b", "a key must be a plain text"),
        ("[" * 5000, "nested too deep"),
        (b"a: \xff", "is not UTF-8 at byte 3"),
        ("", "holds no object"),
        ("# nothing\n---\n", "holds no object"),
    ],
)
def test_no_yaml(tmp_path: Path, text: str | bytes, why: str) -> None:
    assert why in unreadable(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("just text", "is no object; a manifest begins with apiVersion and kind"),
        ("- a", "is no object; a manifest begins with apiVersion and kind"),
        ("spec: {}", "kind: is missing; write InferenceService or AcceleratorClass"),
        (
            "{apiVersion: v1, kind: Pod}",
            "kind: 'Pod' is not known; write InferenceService or AcceleratorClass",
        ),
        ("kind: InferenceService", "apiVersion: is missing; write vinoserve.dev/v1alpha1"),
        (
            "{apiVersion: serving.kserve.io/v1beta1, kind: InferenceService}",
            "apiVersion: 'serving.kserve.io/v1beta1' is not known; write vinoserve.dev/v1alpha1",
        ),
    ],
)
def test_other_objects(tmp_path: Path, text: str, problem: str) -> None:
    assert read(tmp_path, text) == [problem]


def test_files_that_are_none(tmp_path: Path) -> None:
    for file, why in ((tmp_path / "nope.yaml", "no such file or directory"), (tmp_path, "is a directory")):
        with pytest.raises(UnreadableError, match=why):
            read_files([str(file)])


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SERVICE.encode())))
    assert read_files(["-"])[0].problems == ()
