from urllib.parse import quote

from hypothesis import assume, given
from hypothesis import strategies as st

from vinoserve_api.rules.uri import check_uri

segments = st.text(alphabet="abcXYZ019._- %äé~+", min_size=1, max_size=8).filter(
    lambda text: text not in (".", "..")
)


@given(
    st.lists(segments, min_size=1, max_size=4), st.sampled_from(["https://host/", "pvc://claim/", "file:/"])
)
def test_any_path_can_be_named(names: list[str], start: str) -> None:
    assert check_uri(start + "/".join(quote(name, safe="") for name in names), digest=False) is None


@given(
    st.lists(segments, max_size=3),
    st.lists(segments, max_size=3),
    st.integers(0, 4),
    st.sampled_from(["https://host/", "pvc://claim/", "file:", "file:/"]),
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


@given(st.text(max_size=40))
def test_any_text_is_answered(text: str) -> None:
    message = check_uri(text, digest=True)
    assume(message is not None)
    assert message
