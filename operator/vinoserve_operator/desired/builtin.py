"""The AcceleratorClasses that vinoserve brings along: the chart makes them, and `render` goes by them."""

from typing import Final

from vinoserve_api.v1alpha1 import (
    API_VERSION,
    DEFAULT_CLASS_ANNOTATION,
    AcceleratorClass,
)

#: Usual gids of the group that owns the render nodes; the chart's values have the same.
RENDER_GROUPS: Final = (
    44,  # Debian, Ubuntu: group video
    104,  # Debian 12, Proxmox VE 8
    105,  # Fedora, RHEL
    109,  # Ubuntu 20.04
    110,  # Ubuntu 22.04
    992,  # Ubuntu 24.04
    993,  # Ubuntu 24.04, server
)


def make_builtin_classes() -> tuple[AcceleratorClass, ...]:
    """`intel-gpu` and `intel-npu`, each the default of its type."""
    return (
        _make_class("intel-gpu", "GPU", "gpu.intel.com/i915"),
        _make_class("intel-npu", "NPU", "npu.intel.com/accel"),
    )


def _make_class(name: str, device_type: str, resource: str) -> AcceleratorClass:
    return AcceleratorClass.load(
        {
            "apiVersion": API_VERSION,
            "kind": "AcceleratorClass",
            "metadata": {"name": name, "annotations": {DEFAULT_CLASS_ANNOTATION: "true"}},
            "spec": {
                "deviceType": device_type,
                "access": "DevicePlugin",
                "devicePlugin": {"resourceName": resource},
                "renderGroups": list(RENDER_GROUPS),
                "exclusive": True,
            },
        }
    )
