"""What an AcceleratorClass may be."""

from collections.abc import Iterator
from typing import Final

from vinoserve_api.problem import Problem
from vinoserve_api.rules.cel import CelRule
from vinoserve_api.rules.pods import check_unique
from vinoserve_api.rules.scheduling import check_scheduling, make_rules
from vinoserve_api.v1alpha1 import AcceleratorClassSpec

PLUGIN_MISSING = "access DevicePlugin needs devicePlugin.resourceName, such as gpu.intel.com/i915"
PLUGIN_UNUSED = "devicePlugin goes with access DevicePlugin; remove it"
CLASS_MISSING = "access DRA needs dra.deviceClassName, such as gpu.intel.com"
CLASS_UNUSED = "dra goes with access DRA; remove it, or write access: DRA"
PATHS_MISSING = "access HostPath needs hostPath.paths, such as /dev/dri"
PATHS_UNUSED = "hostPath goes with access HostPath; remove it, or write access: HostPath"
NAMESPACES_MISSING = "write names, a selector, or both; leave allowedNamespaces out to allow every namespace"
NO_PARENT = "has '..' in it; write the path without it"

#: access -> the field that says more, what to say where it is missing, and where it is there with another access
_FIELDS: Final = {
    "DevicePlugin": ("devicePlugin", PLUGIN_MISSING, PLUGIN_UNUSED),
    "DRA": ("dra", CLASS_MISSING, CLASS_UNUSED),
    "HostPath": ("hostPath", PATHS_MISSING, PATHS_UNUSED),
}


def check_class_spec(spec: AcceleratorClassSpec) -> Iterator[Problem]:
    given = {"devicePlugin": spec.device_plugin, "dra": spec.dra, "hostPath": spec.host_path}
    for access, (field, missing, unused) in _FIELDS.items():
        if spec.access == access and given[field] is None:
            yield Problem(f"spec.{field}", missing)
        if spec.access != access and given[field] is not None:
            yield Problem(f"spec.{field}", unused)
    yield from check_unique(spec.dra.selectors if spec.dra else (), "spec.dra.selectors")
    if spec.host_path is not None:
        for field, paths in (("paths", spec.host_path.paths), ("libraries", spec.host_path.libraries)):
            yield from check_unique(paths, f"spec.hostPath.{field}")
            for i, path in enumerate(paths):
                if ".." in path.split("/"):
                    yield Problem(f"spec.hostPath.{field}[{i}]", NO_PARENT)
    if spec.host_path_cache is not None and ".." in spec.host_path_cache.split("/"):
        yield Problem("spec.hostPathCache", NO_PARENT)
    yield from check_unique(spec.render_groups or (), "spec.renderGroups")
    allowed = spec.allowed_namespaces
    if allowed is not None:
        if allowed.names is None and allowed.selector is None:
            yield Problem("spec.allowedNamespaces", NAMESPACES_MISSING)
        yield from check_unique(allowed.names or (), "spec.allowedNamespaces.names")
    yield from check_scheduling(spec)


CEL = (
    *(
        rule
        for access, (field, missing, unused) in _FIELDS.items()
        for rule in (
            CelRule("spec", f"self.access != '{access}' || has(self.{field})", missing, f".{field}"),
            CelRule("spec", f"self.access == '{access}' || !has(self.{field})", unused, f".{field}"),
        )
    ),
    *(
        CelRule(f"spec.hostPath.{field}[]", "!('..' in self.split('/'))", NO_PARENT)
        for field in ("paths", "libraries")
    ),
    CelRule("spec.hostPathCache", "!('..' in self.split('/'))", NO_PARENT),
    CelRule("spec.allowedNamespaces", "has(self.names) || has(self.selector)", NAMESPACES_MISSING),
    *make_rules(AcceleratorClassSpec),
)
