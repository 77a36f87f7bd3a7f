import re
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vinoserve_api.rules.uri import check_uri, takes_credentials
from vinoserve_runtime.model.sources.address import parse_hub

segments = st.text(alphabet="abcXYZ019._- %äé~+", min_size=1, max_size=8).filter(
    lambda text: text not in (".", "..")
)


STARTS = (
    "https://host/",
    "pvc://claim/",
    "file:/",
    "hf://owner/name/",
    "hf://owner/name@main/",
    "s3://bucket/",
    "gs://bucket/",
    "az://container/",
)


@given(st.lists(segments, min_size=1, max_size=4), st.sampled_from(STARTS))
def test_any_path_can_be_named(names: list[str], start: str) -> None:
    assert check_uri(start + "/".join(quote(name, safe="") for name in names), digest=False) is None


@given(
    st.lists(segments, max_size=3),
    st.lists(segments, max_size=3),
    st.integers(0, 4),
    st.sampled_from([*STARTS, "file:"]),
)
def test_no_path_leads_up_however_it_is_encoded(
    before: list[str], after: list[str], times: int, start: str
) -> None:
    up = ".."
    for i in range(times):
        up = up.replace(".", "%2e") if i == 0 else up.replace("%", "%25")
    path = "/".join(
        [*(quote(name, safe="") for name in before), up, *(quote(name, safe="") for name in after)]
    )
    message = check_uri(start + path, digest=False)
    assert message is not None
    assert ".." in message


@given(st.from_regex(r"[A-Za-z0-9._%-]{1,20}", fullmatch=True))
def test_any_revision_can_be_named(revision: str) -> None:
    name = quote(revision, safe="")
    assume(revision not in (".", "..") and ".." not in unquote(name).split("/"))
    assume(not re.search("%(0.|1.|7[fF])", revision))
    assert check_uri(f"hf://owner/name@{name}", digest=False) is None
    assert parse_hub(f"hf://owner/name@{name}/a").revision == revision


@pytest.mark.parametrize("scheme", ["hf", "s3", "gs", "az", "oci", "https", "http"])
def test_credentials_are_for_what_comes_from_elsewhere(scheme: str) -> None:
    assert takes_credentials(f"{scheme}://there/x")
    assert not takes_credentials("pvc://claim/x")
    assert not takes_credentials("file:/x")


@given(st.text(max_size=40))
def test_any_text_is_answered(text: str) -> None:
    message = check_uri(text, digest=True)
    assume(message is not None)
    assert message
