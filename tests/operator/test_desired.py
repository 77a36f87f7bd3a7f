"""What is rendered: the structure is the template's whatever the values, and devices come from the classes."""

import copy
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.allowed_namespaces import CASES, LABELS
from tests.operator.fakes.running import make_class, make_service
from tests.pod_security import find_violations
from vinoserve_api.problem import InvalidObject
from vinoserve_api.reading import read_class, read_service
from vinoserve_operator.commands import render
from vinoserve_operator.desired.children import Children, make_children
from vinoserve_operator.desired.devices import Inventory
from vinoserve_operator.desired.names import make_config_key
from vinoserve_operator.errors import NotRenderableError

Object = dict[str, Any]


def make(inventory: Inventory | None = None, groups: tuple[int, ...] = (), **spec: Any) -> Children:
    raw = make_service(**spec)
    raw["metadata"]["uid"] = "1"
    return make_children(
        read_service(raw), inventory or Inventory(), image="example.com/runtime:1", known_groups=groups
    )


def make_inventory(*classes: Object, **more: Any) -> Inventory:
    return Inventory({c["metadata"]["name"]: read_class(c) for c in classes}, **more)


def pod_of(children: Children) -> Object:
    return children.deployment["spec"]["template"]["spec"]


# --- the structure

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    [
        "{{ x }}",
        "a: b",
        "'\"",
        "- x",
        "&a *a",
        "yes",
        "null",
        "1e3",
        "1_0",
        "0x1",
        "~",
        "\u2028\u0085\ufeff",
        "😀",
        "%",
    ]
)


def shape(value: Any) -> Any:
    """Keys and types, without the values; the names of the fields whose names are values, and digests, apart."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items() if not str(k).startswith(("config-", "example.com/"))}
    if isinstance(value, list):
        return [shape(v) for v in value]
    return type(value).__name__


@given(TEXT, TEXT, TEXT)
def test_no_text_changes_the_structure(name: str, note: str, operator_type: str) -> None:
    def spec(name: str, note: str, operator_type: str) -> Object:
        return {
            "model": {"uri": "https://example.com/m.onnx", "inputs": [{"name": "n" + name}]},
            "targetDevice": "HETERO:GPU,CPU",
            "operatorAffinity": [{"device": "CPU", "types": ["t" + operator_type]}],
            "podTemplate": {"annotations": {"example.com/note": note}, "labels": {"example.com/a": "b"}},
        }

    inventory = make_inventory(make_class())
    plain = make(inventory, **spec("a", "b", "c"))
    odd = make(inventory, **spec(name, note, operator_type))
    assert shape(list(odd)) == shape(list(plain))
    assert odd.deployment["spec"]["template"]["metadata"]["annotations"]["example.com/note"] == note
    config = json.loads(odd.config_map["data"][make_config_key(odd.config)])
    assert config["inputs"][0]["name"] == "n" + name


@given(TEXT)
def test_what_render_prints_reads_back_as_what_is_applied(note: str) -> None:
    raw = make_service(podTemplate={"annotations": {"example.com/note": note}})
    printed = list(yaml.safe_load_all(render([read_service(raw)])))
    annotations = printed[2]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["example.com/note"] == note


@given(
    target=st.sampled_from(["CPU", "GPU", "AUTO:GPU,CPU", "HETERO:GPU.1,CPU"]),
    uri=st.sampled_from(["https://example.com/m.onnx", "pvc://models/m", "file:/opt/m.onnx"]),
    groups=st.lists(st.integers(1, 2**31), max_size=3, unique=True),
    replicas=st.integers(0, 5),
    strategy=st.sampled_from(["Auto", "RollingUpdate", "Recreate"]),
)
def test_restricted_pod_security_admits_every_pod_with_a_device_plugin(
    target: str, uri: str, groups: list[int], replicas: int, strategy: str
) -> None:
    children = make(
        make_inventory(make_class(renderGroups=groups)),
        model={"uri": uri},
        targetDevice=target,
        replicas=replicas,
        rollout={"strategy": strategy},
    )
    assert find_violations(pod_of(children)) == []


def test_replicas_and_suspend_leave_the_pod_as_it_is() -> None:
    pods = [pod_of(make(**spec)) for spec in ({}, {"replicas": 3}, {"suspend": True})]
    assert pods[0] == pods[1] == pods[2]
    assert make(suspend=True, replicas=3).deployment["spec"]["replicas"] == 0


def test_configs_of_older_generations_stay_beside_the_present_one() -> None:
    children = make().keep_configs({"config-0123456789ab.json": "{}"})
    assert sorted(children.config_map["data"]) == sorted(
        ["config-0123456789ab.json", make_config_key(children.config)]
    )


def test_a_pod_template_is_merged_into_the_pod() -> None:
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
                ]
            }
        }
    }
    pod = pod_of(make(podTemplate={"affinity": affinity, "serviceAccountName": "sa"}))
    assert pod["affinity"] == affinity
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("sa", False)


def test_a_spread_without_a_selector_is_of_the_services_own_pods() -> None:
    """Kubernetes would take it for one that no pod fits: accepted, and of no effect."""
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    every, others = {}, {"matchLabels": {"app": "other"}}
    written = [
        spread,
        spread | {"topologyKey": "rack", "labelSelector": every},
        spread | {"topologyKey": "host", "labelSelector": others},
        spread | {"topologyKey": "host", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": None},
    ]
    children = make(podTemplate={"topologySpreadConstraints": written, "labels": {"team": "a"}})
    own = children.deployment["spec"]["selector"]
    assert own["matchLabels"].items() <= children.deployment["spec"]["template"]["metadata"]["labels"].items()
    assert pod_of(children)["topologySpreadConstraints"] == [
        {**one, "labelSelector": selector}
        for one, selector in zip(written, (own, every, others, own), strict=True)
    ]


# --- devices


def refusal(inventory: Inventory, **spec: Any) -> NotRenderableError:
    with pytest.raises(NotRenderableError) as raised:
        make(inventory, **spec)
    return raised.value


def test_a_missing_class_is_told_with_those_that_exist() -> None:
    error = refusal(make_inventory(make_class("arc")), accelerators=[{"class": "flex", "count": 1}])
    assert error.reason == "AcceleratorClassNotFound"
    assert "spec.accelerators[0].class" in str(error)
    assert "arc (GPU)" in str(error)


def test_an_invalid_class_is_told_with_what_is_wrong() -> None:
    error = refusal(
        Inventory(invalid={"arc": "spec.deviceType: is missing"}), accelerators=[{"class": "arc"}]
    )
    assert "spec.deviceType: is missing" in str(error)


def test_two_default_classes_are_both_named() -> None:
    error = refusal(make_inventory(make_class("arc"), make_class("flex")), targetDevice="GPU")
    assert error.reason == "AmbiguousDefaultClass"
    assert "arc and flex" in str(error)


def test_no_default_class_is_told_with_what_would_make_one() -> None:
    error = refusal(make_inventory(make_class("arc", default=False)), targetDevice="GPU")
    assert 'vinoserve.dev/is-default-class="true"' in str(error)


def test_fewer_units_than_the_target_counts_are_refused() -> None:
    error = refusal(
        make_inventory(make_class()), targetDevice="GPU.1", accelerators=[{"class": "intel-gpu", "count": 1}]
    )
    assert "raise count to 2" in str(error)


@pytest.mark.parametrize("target", ["CPU", "AUTO", "AUTO:GPU,CPU"])
def test_no_accelerators_at_all_is_the_users_choice_where_the_target_can_do_without(target: str) -> None:
    pod = pod_of(make(make_inventory(make_class()), targetDevice=target, accelerators=[]))
    assert pod["containers"][0]["resources"] == {}


def test_contradicting_node_selectors_are_refused() -> None:
    inventory = make_inventory(make_class(nodeSelector={"zone": "a"}))
    error = refusal(inventory, targetDevice="GPU", podTemplate={"nodeSelector": {"zone": "b"}})
    assert "spec.podTemplate.nodeSelector.zone" in str(error)


def test_render_groups_are_the_classes_or_the_nodes_and_those_known_stay() -> None:
    gathered = make_class()
    del gathered["spec"]["renderGroups"]
    inventory = make_inventory(gathered, render_groups={"intel-gpu": [993]})
    context = pod_of(make(inventory, groups=(109,), targetDevice="GPU"))["securityContext"]
    assert context["supplementalGroups"] == [109, 993]
    fixed = pod_of(make(make_inventory(make_class()), groups=(44,), targetDevice="GPU"))["securityContext"]
    assert fixed["supplementalGroups"] == [109]


def test_the_pod_template_decides_the_runtime_class() -> None:
    inventory = make_inventory(make_class(runtimeClassName="theirs"))
    assert pod_of(make(inventory, targetDevice="GPU"))["runtimeClassName"] == "theirs"
    mine = make(inventory, targetDevice="GPU", podTemplate={"runtimeClassName": "mine"})
    assert pod_of(mine)["runtimeClassName"] == "mine"


@pytest.mark.parametrize(
    ("strategy", "exclusive", "expected"),
    [
        ("Auto", True, (0, 1)),
        ("Auto", False, (1, 0)),
        ("RollingUpdate", True, (1, 0)),
        ("Recreate", True, None),
    ],
)
def test_exclusive_devices_are_not_asked_for_twice(strategy: str, exclusive: bool, expected: object) -> None:
    inventory = make_inventory(make_class(exclusive=exclusive))
    made = make(inventory, targetDevice="GPU", rollout={"strategy": strategy}).deployment["spec"]["strategy"]
    update = made.get("rollingUpdate")
    assert (update and (update["maxSurge"], update["maxUnavailable"])) == expected


# --- the command


def test_render_brings_classes_along_and_names_every_problem() -> None:
    gpu = make_service(targetDevice="GPU")
    limits = list(yaml.safe_load_all(render([read_service(gpu)])))[2]["spec"]["template"]["spec"][
        "containers"
    ][0]
    assert limits["resources"]["limits"] == {"gpu.intel.com/i915": "1"}
    with pytest.raises(InvalidObject, match=r"spec\.accelerators"):
        render([read_service(gpu)], [read_class(make_class(default=False))])


def test_rendering_leaves_its_input_alone() -> None:
    raw = make_service()
    before = copy.deepcopy(raw)
    render([read_service(raw)])
    assert raw == before


# --- which namespaces may use a class


@pytest.mark.parametrize(("allowed", "may"), CASES)
@pytest.mark.parametrize("named", [True, False], ids=["named", "default"])
def test_a_class_is_for_the_namespaces_that_it_allows(
    allowed: Object | None, *, may: bool, named: bool
) -> None:
    spec = {"accelerators": [{"class": "intel-gpu"}]} if named else {}
    accelerator = make_class(**({"allowedNamespaces": allowed} if allowed is not None else {}))
    inventory = make_inventory(accelerator, namespaces={"default": LABELS})
    if may:
        assert pod_of(make(inventory, targetDevice="GPU", **spec))["containers"][0]["resources"]
    else:
        error = refusal(inventory, targetDevice="GPU", **spec)
        assert error.reason == "NamespaceNotAllowed"
        assert str(error).startswith(
            "spec.accelerators[0].class: AcceleratorClass intel-gpu is not for"
            if named
            else "spec.accelerators: the default AcceleratorClass intel-gpu is not for"
        )


def test_who_may_not_use_a_class_is_told_who_may_and_what_else_there_is() -> None:
    closed = make_class(
        allowedNamespaces={
            "names": ["a", "b"],
            "selector": {
                "matchLabels": {"gpu": "yes"},
                "matchExpressions": [
                    {"key": "tier", "operator": "In", "values": ["gold", "tin"]},
                    {"key": "banned", "operator": "DoesNotExist"},
                ],
            },
        }
    )
    inventory = make_inventory(closed, make_class("shared", default=False), namespaces={})
    told = str(refusal(inventory, targetDevice="GPU"))
    assert "is not for namespace default but for a, b and namespaces with the labels" in told
    assert "gpu=yes,tier in (gold,tin),!banned" in told
    assert "name one that is (shared)" in told
    many = make_class(allowedNamespaces={"names": [f"team-{i}" for i in range(10)]})
    assert "team-7 and 2 others;" in str(refusal(make_inventory(many, namespaces={}), targetDevice="GPU"))
    alone = refusal(make_inventory(closed, namespaces={}), targetDevice="GPU")
    assert "none of type GPU is, or ask the cluster's admin" in str(alone)


def test_without_a_cluster_nobody_judges_namespaces() -> None:
    inventory = make_inventory(make_class(allowedNamespaces={"names": ["other"]}))
    assert make(inventory, targetDevice="GPU").deployment
