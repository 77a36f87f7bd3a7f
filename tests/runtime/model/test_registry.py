"""What references, manifests and logins of registries mean, whoever wrote them."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.sources.access import Access
from vinoserve_runtime.model.sources.manifest import (
    choose_manifest,
    is_index,
    list_layers,
    read_document,
)
from vinoserve_runtime.model.sources.reference import parse_reference
from vinoserve_runtime.model.sources.registry_auth import find_login

DIGEST = "sha256:" + "a" * 64
DOCKER_HUB = "https://index.docker.io/v1/"


@pytest.mark.parametrize(
    ("uri", "host", "repository", "version"),
    [
        ("oci://docker.io/library/m:1", "docker.io", "library/m", "1"),
        ("oci://r.example:5000/a/b-c__d/m:v1.2_x", "r.example:5000", "a/b-c__d/m", "v1.2_x"),
        (f"oci://r.example/m@{DIGEST}", "r.example", "m", DIGEST),
        (f"oci://r.example/m:v1@{DIGEST}", "r.example", "m", DIGEST),
        ("oci://[::1]:5000/m:v1", "[::1]:5000", "m", "v1"),
    ],
)
def test_references(uri: str, host: str, repository: str, version: str) -> None:
    found = parse_reference(uri)
    assert (found.host, found.repository, found.version) == (host, repository, version)


@pytest.mark.parametrize(
    "uri", ["oci://r.example", "oci://r.example/M:v1", "oci://me@r.example/m:v1", "oci://r.example/../m:v1"]
)
def test_what_is_no_reference(uri: str) -> None:
    with pytest.raises(StartupError, match="oci://HOST/REPOSITORY"):
        parse_reference(uri)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.8.9.1", True),
        ("[::1]:5000", True),
        ("localhost.example", False),
        ("10.0.0.1:5000", False),
        ("registry.example:5000", False),
    ],
)
def test_only_this_machine_is_spoken_to_in_the_clear(host: str, *, loopback: bool) -> None:
    assert parse_reference(f"oci://{host}/m:v1").is_loopback == loopback


@pytest.mark.parametrize(
    ("entry", "uri"),
    [
        ("r.example", "oci://r.example/team/m:v1"),
        ("https://r.example", "oci://r.example/team/m:v1"),
        ("https://r.example/v2/", "oci://r.example/team/m:v1"),
        ("r.example/team", "oci://r.example/team/m:v1"),
        (DOCKER_HUB, "oci://docker.io/team/m:v1"),
        ("docker.io", "oci://docker.io/team/m:v1"),
    ],
)
def test_a_login_is_found_by_host_or_folder(entry: str, uri: str, tmp_path: Path) -> None:
    auth = b64encode(b"me:pass:word").decode()
    (tmp_path / ".dockerconfigjson").write_text(
        json.dumps({"auths": {"other.example": {}, entry: {"auth": auth}}})
    )
    assert find_login(parse_reference(uri), Access(tmp_path, {})) == ("me", "pass:word")
    assert find_login(parse_reference("oci://r.example2/team/m:v1"), Access(tmp_path, {})) is None


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"auths": 1}', '{"auths": {"r": {"auth": "%"}}}'])
def test_a_broken_pull_secret_is_said_without_its_content(text: str, tmp_path: Path) -> None:
    (tmp_path / ".dockerconfigjson").write_text(text)
    with pytest.raises(StartupError) as caught:
        find_login(parse_reference("oci://r.example/m:v1"), Access(tmp_path, {}))
    assert ".dockerconfigjson" in str(caught.value)


KEYS = ["manifests", "layers", "digest", "size", "platform", "os", "annotations", "mediaType"]
ANNOTATIONS = ["org.opencontainers.image.title", "io.deis.oras.content.unpack"]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(DIGEST),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*KEYS, *ANNOTATIONS]), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(values)
def test_any_manifest_is_read_or_refused(document: Any) -> None:
    try:
        found = read_document(json.dumps(document).encode(), "uri")
        if is_index(found):
            choose_manifest(found, "uri")
        else:
            assert all(layer.title and layer.size >= 0 for layer in list_layers(found, "uri"))
    except StartupError:
        pass
