"""The caches keep objects small, and nothing else than what was found."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from vinoserve_operator.cluster import Cluster
from vinoserve_operator.kinds import DEPLOYMENT, NODE, POD, Object, Ref
from vinoserve_operator.packing import pack
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


def make_version(name: str, version: int) -> Object:
    return {
        "metadata": {"name": name, "namespace": "team", "uid": name, "resourceVersion": str(version)},
        "spec": {"containers": [{"resources": {"requests": {"gpu.intel.com/xe": "1"}}}]},
        "status": {"replicas": version},
    }


def test_pods_share_what_is_equal() -> None:
    cluster = Cluster()
    for version, name in enumerate(("a", "b", "a"), 1):
        assert cluster.put(POD, make_version(name, version))
    first, second = (cluster.get(Ref(POD, "team", name)) for name in "ab")
    assert first is not None
    assert second is not None
    assert first["spec"] is second["spec"]
    assert [first["status"]["replicas"], second["status"]["replicas"]] == [3, 2]


def test_of_a_node_a_heartbeat_is_no_news_and_a_cordon_is() -> None:
    def make_node(version: int, heartbeat: str, **spec: bool) -> Object:
        metadata = {"name": "n1", "uid": "u", "resourceVersion": str(version), "labels": {"zone": "a"}}
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": heartbeat}
        return {"metadata": metadata, "spec": spec, "status": {"conditions": [ready]}}

    cluster = Cluster()
    assert cluster.put(NODE, make_node(1, "10:00"))
    assert not cluster.put(NODE, make_node(2, "10:05"))
    assert cluster.put(NODE, make_node(3, "10:06", unschedulable=True))


@given(VALUES, VALUES)
def test_what_is_unpacked_is_what_was_packed(found: object, other: object) -> None:
    first = pack({"data": other}, None)
    for like in (None, first):
        assert orjson.dumps(pack({"data": found}, like).unpack()) == orjson.dumps({"data": found})
    assert orjson.dumps(first.unpack()) == orjson.dumps({"data": other})


def test_deployments_that_are_much_alike_take_little() -> None:
    cluster = Cluster()
    deployments = [make_version(name, version) for version, name in enumerate(("a", "b", "a"), 1)]
    for deployment in deployments:
        assert cluster.put(DEPLOYMENT, deployment)
    assert [cluster.get(Ref(DEPLOYMENT, "team", name)) for name in "ab"] == [deployments[2], deployments[1]]
    whole, packed = (pack(deployments[1], like) for like in (None, pack(deployments[0], None)))
    assert len(packed.data) < len(whole.sample) / 3
