"""The caches keep equal parts once, and nothing else than what was found."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from vinoserve_operator.cluster import Cluster
from vinoserve_operator.kinds import DEPLOYMENT, Object, Ref
from vinoserve_operator.sharing import share

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, width=16)
    | st.text(max_size=3)
)
VALUES = st.recursive(
    LEAVES,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from("abc"), part, max_size=3),
)


@given(VALUES, VALUES)
def test_what_is_made_of_known_parts_is_what_was_found(found: object, known: object) -> None:
    before = orjson.dumps(known)
    assert orjson.dumps(share(found, known)) == orjson.dumps(found)
    assert orjson.dumps(known) == before


def test_properties_that_python_takes_for_equal_stay_apart() -> None:
    known = {"properties": {"CPU": {"A": True, "B": 1, "C": 1.0}}}
    found = {"properties": {"CPU": {"A": 1, "B": 1.0, "C": True}}}
    assert orjson.dumps(share(found, known)) == orjson.dumps(found)


def make_deployment(name: str, version: int) -> Object:
    return {
        "metadata": {"name": name, "namespace": "team", "uid": name, "resourceVersion": str(version)},
        "spec": {"template": {"spec": {"containers": [{"ports": [{"containerPort": 8000}]}]}}},
        "status": {"replicas": version},
    }


def test_deployments_share_what_is_equal() -> None:
    cluster = Cluster()
    for version, name in enumerate(("a", "b", "a"), 1):
        assert cluster.put(DEPLOYMENT, make_deployment(name, version))
    first, second = (cluster.get(Ref(DEPLOYMENT, "team", name)) for name in "ab")
    assert first is not None
    assert second is not None
    assert first["spec"] is second["spec"]
    assert [first["status"]["replicas"], second["status"]["replicas"]] == [3, 2]
