"""What an AcceleratorClass may be."""

from collections.abc import Iterator

from vinoserve_api.problem import Problem
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.rules.pods import check_unique
from vinoserve_api.rules.scheduling import check_scheduling, make_rules
from vinoserve_api.v1alpha1 import AcceleratorClassSpec

PLUGIN_MISSING = "access DevicePlugin needs devicePlugin.resourceName, such as gpu.intel.com/i915"
PLUGIN_UNUSED = "devicePlugin goes with access DevicePlugin; remove it"
PATHS_MISSING = "access HostPath needs hostPath.paths, such as /dev/dri"
PATHS_UNUSED = "hostPath goes with access HostPath; remove it, or write access: HostPath"
NAMESPACES_MISSING = "write names, a selector, or both; leave allowedNamespaces out to allow every namespace"
NO_PARENT = "has '..' in it; write the path without it"


def check_class_spec(spec: AcceleratorClassSpec) -> Iterator[Problem]:
    if spec.access == "DevicePlugin":
        if spec.device_plugin is None:
            yield Problem("spec.devicePlugin", PLUGIN_MISSING)
        if spec.host_path is not None:
            yield Problem("spec.hostPath", PATHS_UNUSED)
    else:
        if spec.host_path is None:
            yield Problem("spec.hostPath", PATHS_MISSING)
        if spec.device_plugin is not None:
            yield Problem("spec.devicePlugin", PLUGIN_UNUSED)
    if spec.host_path is not None:
        for field, paths in (("paths", spec.host_path.paths), ("libraries", spec.host_path.libraries)):
            yield from check_unique(paths, f"spec.hostPath.{field}")
            for i, path in enumerate(paths):
                if ".." in path.split("/"):
                    yield Problem(f"spec.hostPath.{field}[{i}]", NO_PARENT)
    yield from check_unique(spec.render_groups or (), "spec.renderGroups")
    allowed = spec.allowed_namespaces
    if allowed is not None:
        if allowed.names is None and allowed.selector is None:
            yield Problem("spec.allowedNamespaces", NAMESPACES_MISSING)
        yield from check_unique(allowed.names or (), "spec.allowedNamespaces.names")
    yield from check_scheduling(spec)


CEL = (
    CelRule(
        "spec", "self.access != 'DevicePlugin' || has(self.devicePlugin)", PLUGIN_MISSING, ".devicePlugin"
    ),
    CelRule(
        "spec", "self.access == 'DevicePlugin' || !has(self.devicePlugin)", PLUGIN_UNUSED, ".devicePlugin"
    ),
    CelRule("spec", "self.access != 'HostPath' || has(self.hostPath)", PATHS_MISSING, ".hostPath"),
    CelRule("spec", "self.access == 'HostPath' || !has(self.hostPath)", PATHS_UNUSED, ".hostPath"),
    *(
        CelRule(f"spec.hostPath.{field}[]", "!('..' in self.split('/'))", NO_PARENT)
        for field in ("paths", "libraries")
    ),
    CelRule("spec.allowedNamespaces", "has(self.names) || has(self.selector)", NAMESPACES_MISSING),
    *make_rules(AcceleratorClassSpec),
)
