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


class DraAccess(Document):
    device_class_name: Annotated[
        str,
        Field(max_length=253),
        Matches(
            r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
            "is not the name of a DeviceClass; write it as kubectl get deviceclasses shows it, such as gpu.intel.com",
        ),
    ] = Field(description="DeviceClass of the devices, such as gpu.intel.com.")
    selectors: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...], Field(max_length=16)
    ] = Field(
        (),
        description="CEL that a device must fulfil, all of them, such as device.attributes['gpu.intel.com'].family == 'Arc B-Series'.",
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
    access: Literal["DevicePlugin", "DRA", "HostPath"] = Field(
        "DevicePlugin",
        description="DevicePlugin: the pod asks for an extended resource. DRA: the pod claims devices of a DeviceClass. "
        "HostPath: the pod mounts the host's device nodes and runs privileged.",
    )
    device_plugin: DevicePluginAccess | None = Field(None, description="With access DevicePlugin.")
    dra: DraAccess | None = Field(None, description="With access DRA (Dynamic Resource Allocation).")
    host_path: HostPathAccess | None = Field(None, description="With access HostPath.")
    render_groups: (
        Annotated[tuple[Annotated[int, Field(ge=1, le=4_294_967_294)], ...], Field(max_length=32)] | None
    ) = Field(
        None,
        description="Group ids that may open the render nodes; left out: gathered from the nodes' label vinoserve.dev/render-gid.",
    )
    host_path_cache: (
        Annotated[
            str,
            Field(max_length=256),
            Matches(
                r"^(/[A-Za-z0-9_.-]+)+$",
                "is not a folder of the host; write an absolute path, such as /var/cache/vinoserve",
            ),
        ]
        | None
    ) = Field(
        None,
        description="Folder of the nodes that allows cache.compiled.type HostPath: each service gets NAMESPACE/NAME below it. "
        "Prepare it with install -d -g 65532 -m 2770. Left out: HostPath is refused.",
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
    resource: str | None = Field(
        None,
        description="What pods get the device by: an extended resource, deviceclass/NAME with access DRA, host paths with HostPath.",
    )
    nodes: int | None = Field(None, description="Nodes that offer the device.")
    allocatable: int | None = Field(
        None,
        description="Units that those nodes offer together; with DRA all healthy devices of the DeviceClass, whether selectors match or not.",
    )
    allocated: int | None = Field(
        None,
        description="Units that pods of InferenceServices hold, or wait for on their node; pods of others aren't looked at.",
    )
    render_groups: tuple[int, ...] = Field(
        (),
        description="Groups that the pods get: spec.renderGroups, or those that the nodes are labelled with.",
    )
    drivers: tuple[str, ...] = Field(
        (),
        description="Kernel drivers of the nodes' devices, as the node agent finds them: i915, xe, intel_vpu.",
    )


class AcceleratorClass(Document):
    """An accelerator as the admin offers it: how pods get it, and on which nodes it is."""

    api_version: Literal["vinoserve.dev/v1alpha1"]
    kind: Literal["AcceleratorClass"]
    metadata: ClusterObjectMeta
    spec: AcceleratorClassSpec
    status: AcceleratorClassStatus | None = None
