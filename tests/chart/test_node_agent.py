"""The node agent as the chart installs it: off unless asked for, without privileges, and held to its own node's labels."""

import kubernetes_validate

from tests.chart.conftest import Render, pick
from tests.pod_security import find_violations
from vinoserve_api.nodes import DOMAIN
from vinoserve_cli.__main__ import _parse

NAME = "vinoserve-node-agent"
ON = "nodeAgent.enabled=true"


def test_it_is_off_unless_asked_for(render: Render) -> None:
    assert NAME not in str(render())


def test_kubernetes_takes_it(render: Render) -> None:
    for document in render(ON, 'nodeAgent.priorityClassName="system-node-critical"'):
        if NAME in document["metadata"]["name"]:
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_it_sees_the_nodes_folders_and_has_no_other_privilege(render: Render) -> None:
    pod = pick(render(ON), "DaemonSet", NAME)["spec"]["template"]["spec"]
    assert find_violations(pod) == ["volumes[dev]: hostPath", "volumes[sys]: hostPath"]
    assert all(mount["readOnly"] for mount in pod["containers"][0]["volumeMounts"])
    assert {volume["hostPath"]["type"] for volume in pod["volumes"]} == {"Directory"}, "nothing is made"
    assert pod["serviceAccountName"] == NAME
    assert pod["tolerations"] == [{"operator": "Exists"}]


def test_its_command_is_one_that_vinoserve_knows(render: Render) -> None:
    container = pick(render(ON, "nodeAgent.intervalSeconds=60"), "DaemonSet", NAME)["spec"]["template"][
        "spec"
    ]["containers"][0]
    options = _parse(container["args"])
    assert (options.command, options.node, options.interval) == ("agent", "$(NODE)", 60)
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {str(options.dev), str(options.sys)}
    assert container["env"][0]["name"] == "NODE"


def test_its_rights_are_bounded_by_a_policy_about_its_very_account(render: Render) -> None:
    documents = render(ON)
    role = pick(documents, "ClusterRole", NAME)
    assert role["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"]}]
    policy = pick(documents, "ValidatingAdmissionPolicy", f"{NAME}.vinoserve-system")
    binding = pick(documents, "ValidatingAdmissionPolicyBinding", f"{NAME}.vinoserve-system")
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    assert policy["spec"]["failurePolicy"] == "Fail"
    (condition,) = policy["spec"]["matchConditions"]
    assert f"'system:serviceaccount:vinoserve-system:{NAME}'" in condition["expression"]
    assert DOMAIN in policy["spec"]["validations"][1]["expression"]


def test_the_operator_and_the_agent_do_not_select_each_others_pods(render: Render) -> None:
    documents = render(ON)
    both = [pick(documents, "Deployment")["spec"], pick(documents, "DaemonSet", NAME)["spec"]]
    labels = [spec["template"]["metadata"]["labels"].items() for spec in both]
    selectors = [spec["selector"]["matchLabels"].items() for spec in both]
    chosen = [[selector <= label for label in labels] for selector in selectors]
    assert chosen == [[True, False], [False, True]]
