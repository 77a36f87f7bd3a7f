"""AcceleratorClass: the admin's knob."""

from typing import Annotated, Literal

from pydantic import Field

from vinoserve_api.base import Document
from vinoserve_api.fields import Matches
from vinoserve_api.v1alpha1.metadata import ClusterObjectMeta
from vinoserve_api.v1alpha1.scheduling import LabelSelector, Toleration
from vinoserve_api.v1alpha1.status import Condition, StatusDocument
from vinoserve_api.v1alpha1.values import DeviceType, LabelMap, NamespaceName, ObjectName


class DevicePluginAccess(Document):
    resource_name: Annotated[
        str,
        Field(max_length=253),
        Matches(
            r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$",
            "is not an extended resource; write DOMAIN/NAME, such as gpu.intel.com/i915",
        ),
    ] = Field(
        description="Extended resource, such as gpu.intel.com/i915, gpu.intel.com/xe or npu.intel.com/accel."
    )


class HostPathAccess(Document):
    paths: Annotated[
        tuple[
            Annotated[
                str,
                Field(max_length=256),
                Matches(
                    r"^/dev/[A-Za-z0-9_.-][A-Za-z0-9_./-]*$",
                    "is not a device of the host; write a path below /dev, such as /dev/dri",
                ),
            ],
            ...,
        ],
        Field(min_length=1, max_length=8),
    ] = Field(description="Device nodes or folders of the host, such as /dev/dri; on WSL2 /dev/dxg.")
    libraries: Annotated[
        tuple[
            Annotated[
                str,
                Field(max_length=256),
                Matches(
                    r"^/[A-Za-z0-9_.-][A-Za-z0-9_./-]*$",
                    "is not a folder of the host; write an absolute path, such as /usr/lib/wsl",
                ),
            ],
            ...,
        ],
        Field(max_length=8),
    ] = Field(
        (), description="Folders of driver libraries of the host, mounted read-only; on WSL2 /usr/lib/wsl."
    )


class AllowedNamespaces(Document):
    """A namespace that either of the two names."""

    names: Annotated[tuple[NamespaceName, ...], Field(min_length=1, max_length=128)] | None = Field(
        None, description="These, by name."
    )
    selector: LabelSelector | None = Field(
        None, description="Those with these labels, which admins give to namespaces; {} selects all of them."
    )


class AcceleratorClassSpec(Document):
    device_type: DeviceType = Field(description="Which of OpenVINO's devices this class gives.")
    access: Literal["DevicePlugin", "HostPath"] = Field(
        "DevicePlugin",
        description="DevicePlugin: the pod asks for an extended resource. HostPath: the pod mounts the host's device nodes and runs privileged.",
    )
    device_plugin: DevicePluginAccess | None = Field(None, description="With access DevicePlugin.")
    host_path: HostPathAccess | None = Field(None, description="With access HostPath.")
    render_groups: (
        Annotated[tuple[Annotated[int, Field(ge=1, le=4_294_967_294)], ...], Field(max_length=32)] | None
    ) = Field(
        None,
        description="Group ids that may open the render nodes; left out: gathered from the nodes' label vinoserve.dev/render-gid.",
    )
    exclusive: bool = Field(True, description="A unit serves one pod: rollouts take the old pod away first.")
    node_selector: LabelMap = Field({}, description="Labels of the nodes that have the device.")
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32)] = Field(
        (), description="Taints of the nodes that have the device."
    )
    runtime_class_name: ObjectName | None = Field(None, description="RuntimeClass of the pods.")
    allowed_namespaces: AllowedNamespaces | None = Field(
        None,
        description="Namespaces whose InferenceServices may use this class; left out: all of them. Pods that run already are left alone.",
    )


class AcceleratorClassStatus(StatusDocument):
    observed_generation: int | None = None
    conditions: tuple[Condition, ...] = ()
    nodes: int | None = Field(None, description="Nodes that offer the device.")
    allocatable: int | None = Field(None, description="Units that those nodes offer together.")


class AcceleratorClass(Document):
    """An accelerator as the admin offers it: how pods get it, and on which nodes it is."""

    api_version: Literal["vinoserve.dev/v1alpha1"]
    kind: Literal["AcceleratorClass"]
    metadata: ClusterObjectMeta
    spec: AcceleratorClassSpec
    status: AcceleratorClassStatus | None = None
