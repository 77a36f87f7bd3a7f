"""vinoserve.dev/v1alpha1: InferenceService and AcceleratorClass, as users and admins write them.

The field descriptions are the API reference: `kubectl explain` shows them. What relates several fields to each
other is in `rules`; what a value alone can say is here.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from vinoserve_api.base import Document
from vinoserve_api.device import MAX_TARGET_LENGTH
from vinoserve_api.fields import IntOrText, Matches
from vinoserve_api.quantity import QUANTITY_PATTERN

GROUP = "vinoserve.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
DEFAULT_CLASS_ANNOTATION = f"{GROUP}/is-default-class"
RENDER_GID_LABEL = f"{GROUP}/render-gid"

ElementType = Literal[
    "boolean", "f16", "bf16", "f32", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"
]
ColorFormat = Literal["RGB", "BGR", "RGBX", "BGRX", "GRAY"]
ModelColorFormat = Literal["RGB", "BGR", "GRAY"]
DeviceType = Literal["GPU", "NPU"]
OnFallback = Literal["Fail", "Warn", "Allow"]

MAX_SIZE = 2_147_483_647

DnsLabel = Annotated[
    str,
    Field(max_length=63),
    Matches(
        r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
        "is not a name; write lower case letters, digits and '-', a letter first, at most 63 characters",
    ),
]
ObjectName = Annotated[
    str,
    Field(max_length=253),
    Matches(
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "is not the name of an object; write lower case letters, digits, '-' and '.', a letter or digit first and last",
    ),
]
Quantity = Annotated[
    int | str,
    IntOrText(
        0,
        9_007_199_254_740_992,
        QUANTITY_PATTERN,
        24,
        "is not a quantity; write a number with or without a unit, such as 64Mi or 2Gi (a fraction in quotes)",
    ),
]
Dimension = Annotated[
    int | str,
    IntOrText(
        -1,
        MAX_SIZE,
        r"^[1-9][0-9]{0,9}\.\.[1-9][0-9]{0,9}$",
        24,
        'is not a size; write a number from 1, "1..10" for any size from 1 to 10, or -1 for any size',
        without=0,
    ),
    Field(description='A size, "1..10" for any size from 1 to 10, or -1 for any size at all.'),
]
Shape = Annotated[tuple[Dimension, ...], Field(max_length=16)]
Layout = Annotated[
    str,
    Field(max_length=16, description="What each dimension means, such as NCHW; ? where it has no name."),
    Matches(
        r"^[A-Z?]+$",
        "is not a layout; write an upper case letter for each dimension, such as NCHW (? for one without a name)",
    ),
]
Text = Annotated[str, Field(min_length=1, max_length=256)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
LabelMap = Annotated[
    dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=63)]], Field(max_length=64)
]
AnnotationMap = Annotated[
    dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=4096)]], Field(max_length=64)
]


# --- the model


SERVED_NAME = Matches(
    r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$",
    "is not a name or version to serve under; write letters, digits, '.', '_' and '-', a letter or digit first and last",
)


class Credentials(Document):
    secret_name: ObjectName = Field(
        description="Secret of the same namespace; only the fetch container sees it. Keys: token (bearer), or "
        "username and password (basic); ca.crt to trust a private authority."
    )


class ClientTensor(Document):
    """What clients send, where it differs from what the model takes."""

    element_type: ElementType | None = Field(
        None, description="Element type that clients send; converted to the model's."
    )
    shape: Shape | None = Field(
        None, description="Shape that clients send, in the client's layout; -1 where any size may come."
    )
    layout: Layout | None = Field(None, description="Layout that clients send, such as NHWC.")
    color_format: ColorFormat | None = Field(
        None, description="Colour format of the pictures that clients send."
    )


class ModelTensor(Document):
    """What the model takes, where its file doesn't say."""

    color_format: ModelColorFormat | None = Field(
        None, description="Colour format that the model was trained on."
    )


class Input(Document):
    name: Text = Field(description='The model\'s own input name, or its index ("0").')
    shape: Shape | None = Field(
        None, description="Shape to give the model: static is fastest, bounded beats dynamic."
    )
    layout: Layout | None = Field(None, description="The model's layout, such as NCHW.")
    client: ClientTensor | None = Field(
        None, description="What clients send, where it differs; the conversion is compiled into the model."
    )
    model: ModelTensor | None = Field(None, description="What the model takes, where its file doesn't say.")
    resize: Literal["linear", "cubic", "nearest"] | None = Field(
        None, description="Resize what clients send to the model's height and width with this filter."
    )
    mean: Annotated[tuple[FiniteFloat, ...], Field(min_length=1, max_length=1024)] | None = Field(
        None, description="Subtracted from each channel, after resizing; one number, or one a channel."
    )
    scale: Annotated[tuple[FiniteFloat, ...], Field(min_length=1, max_length=1024)] | None = Field(
        None, description="Each channel is divided by it, after mean; one number, or one a channel."
    )


class Output(Document):
    name: Text = Field(description='The model\'s own output name, or its index ("0").')
    element_type: ElementType | None = Field(None, description="Element type that clients get.")


class Model(Document):
    uri: Annotated[str, Field(min_length=5, max_length=2048)] = Field(
        description="Where the model is: https://HOST/PATH (http:// with a digest), pvc://CLAIM/PATH, or file:PATH "
        "in the pod. A file, a folder, or a .tar, .tar.gz, .tar.bz2, .tar.xz or .zip of one."
    )
    format: Literal["openvino", "onnx"] | None = Field(None, description="Left out: told from the files.")
    digest: (
        Annotated[
            str,
            Field(max_length=71),
            Matches(
                r"^sha256:[0-9a-f]{64}$",
                "is not a digest; write sha256: and 64 lower case hexadecimal digits",
            ),
        ]
        | None
    ) = Field(
        None,
        description="sha256 of the file that the uri names (of a folder: of its manifest). A model that doesn't match never starts.",
    )
    name: Annotated[str, Field(max_length=128), SERVED_NAME] | None = Field(
        None, description="Name that clients use; metadata.name where left out."
    )
    version: Annotated[str, Field(max_length=32), SERVED_NAME] = Field(
        "1", description="Version that clients see."
    )
    credentials: Credentials | None = Field(None, description="How to be let in at the uri's host.")
    inputs: Annotated[tuple[Input, ...], Field(max_length=64)] = Field(
        (), description="Shapes and preprocessing, by input; what isn't named stays as the model has it."
    )
    outputs: Annotated[tuple[Output, ...], Field(max_length=64)] = Field(
        (), description="Postprocessing, by output; what isn't named stays as the model has it."
    )


# --- the device


class Hints(Document):
    """OpenVINO's high-level hints, in OpenVINO's own spelling."""

    performance_mode: Literal["LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT"] | None = Field(
        None, description="PERFORMANCE_HINT. CUMULATIVE_THROUGHPUT runs on all devices of AUTO at once."
    )
    num_streams: (
        Annotated[
            int | str,
            IntOrText(
                1, 1024, "^(AUTO|NUMA)$", 4, "is not a number of streams; write AUTO, NUMA or 1 to 1024"
            ),
        ]
        | None
    ) = Field(None, description="NUM_STREAMS: AUTO, NUMA or a number; never together with performanceMode.")
    num_requests: Annotated[int, Field(ge=1, le=65536)] | None = Field(
        None, description="PERFORMANCE_HINT_NUM_REQUESTS: how many requests clients keep in flight."
    )
    execution_mode: Literal["PERFORMANCE", "ACCURACY"] | None = Field(
        None, description="EXECUTION_MODE_HINT."
    )
    inference_precision: Literal["f32", "f16", "bf16", "dynamic"] | None = Field(
        None, description="INFERENCE_PRECISION_HINT; one that every device named has."
    )
    model_priority: Literal["LOW", "MEDIUM", "HIGH"] | None = Field(
        None, description="MODEL_PRIORITY, against other models on the same GPU or NPU."
    )


class OperatorAffinity(Document):
    device: Annotated[str, Field(max_length=16)] = Field(
        description="A device that targetDevice's HETERO list names."
    )
    types: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], Field(max_length=256)
    ] = Field((), description="Operator types, such as MulticlassNms.")
    names: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=512)], ...], Field(max_length=256)
    ] = Field((), description="Operators by their friendly names.")


class AcceleratorRequest(Document):
    class_: ObjectName = Field(alias="class", description="Name of an AcceleratorClass.")
    count: Annotated[int, Field(ge=1, le=64)] = Field(1, description="Units a pod gets.")


# --- the pods


class CompiledCache(Document):
    """Where compiled models are kept, so that the next start doesn't compile."""

    type: Literal["EmptyDir", "PersistentVolumeClaim"] = Field(
        "EmptyDir",
        description="EmptyDir: as long as the pod lives. PersistentVolumeClaim: shared, outlives pods.",
    )
    size_limit: Quantity | None = Field(None, description="Size limit of the EmptyDir.")
    claim_name: ObjectName | None = Field(
        None, description="The PersistentVolumeClaim, in the same namespace."
    )


class ModelCache(Document):
    """Where the fetched model is kept."""

    size_limit: Quantity | None = Field(
        None, description="Size limit of the EmptyDir that the model is fetched to."
    )


class Cache(Document):
    compiled: CompiledCache = Field(CompiledCache(), description="Where compiled models are kept.")
    model: ModelCache = Field(ModelCache(), description="Where the fetched model is kept.")


class Warmup(Document):
    requests: Annotated[int, Field(ge=0, le=1000)] = Field(
        3,
        description="Inferences before the pod is ready, so that the first client doesn't wait for kernels.",
    )


class Rollout(Document):
    strategy: Literal["Auto", "RollingUpdate", "Recreate"] = Field(
        "Auto",
        description="Auto: a new pod first, except where the accelerators are exclusive (there the old pod goes first). "
        "RollingUpdate: a new pod first. Recreate: all old pods go first.",
    )


class Limits(Document):
    """What a pod takes on; more is refused with a status code that says so."""

    max_request_bytes: Quantity = Field(
        "64Mi", description="Largest request body, after decompression (413)."
    )
    max_queued_requests: Annotated[int, Field(ge=1, le=65536)] = Field(
        256, description="Requests that may wait for an infer request (429 past it)."
    )
    request_timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        30, description="Longest a request may take, waiting included (504)."
    )


class ResourceList(Document):
    cpu: Quantity | None = None
    memory: Quantity | None = None
    ephemeral_storage: Quantity | None = Field(None, alias="ephemeral-storage")


class Resources(Document):
    requests: ResourceList | None = Field(None, description="What the scheduler reserves for a pod.")
    limits: ResourceList | None = Field(None, description="What a pod may use at most.")


class Toleration(Document):
    key: Annotated[str, Field(max_length=317)] | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: Annotated[str, Field(max_length=63)] | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: Annotated[int, Field(ge=0)] | None = None


class LocalObjectReference(Document):
    name: ObjectName


class PodTemplate(Document):
    """What else the pods shall have, as in any pod template."""

    labels: LabelMap = Field({}, description="Labels of the pods.")
    annotations: AnnotationMap = Field({}, description="Annotations of the pods.")
    node_selector: LabelMap = Field({}, description="Labels that a node must have, beside the class' own.")
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32)] = Field(
        (), description="Taints that the pods bear, beside the class' own."
    )
    affinity: dict[str, Any] | None = Field(None, description="Affinity, as in a pod.")
    topology_spread_constraints: Annotated[tuple[dict[str, Any], ...], Field(max_length=16)] = Field(
        (), description="Topology spread constraints, as in a pod."
    )
    priority_class_name: ObjectName | None = Field(None, description="PriorityClass of the pods.")
    service_account_name: ObjectName | None = Field(
        None, description="ServiceAccount of the pods; its token is never mounted."
    )
    runtime_class_name: ObjectName | None = Field(None, description="RuntimeClass, before the class' own.")
    image_pull_secrets: Annotated[tuple[LocalObjectReference, ...], Field(max_length=16)] = Field(
        (), description="Secrets for the image's registry."
    )
    image: (
        Annotated[
            str,
            Field(max_length=512),
            Matches(
                r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$",
                "is not the name of an image; write REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:…",
            ),
        ]
        | None
    ) = Field(None, description="Runtime image, instead of the operator's default.")


Properties = dict[str, dict[str, Any]]


class InferenceServiceSpec(Document):
    model: Model = Field(description="What to serve.")
    target_device: Annotated[str, Field(max_length=MAX_TARGET_LENGTH)] = Field(
        "CPU",
        description="OpenVINO's device: CPU, GPU, GPU.1, NPU, AUTO:GPU,CPU, MULTI:…, HETERO:GPU,CPU, BATCH:GPU(8).",
    )
    hints: Hints = Field(Hints(), description="OpenVINO's high-level hints.")
    properties: Properties = Field(
        {}, description="OpenVINO properties, by device; only of devices that targetDevice names."
    )
    unchecked_properties: dict[str, dict[str, Annotated[str, Field(max_length=4096)]]] = Field(
        {},
        description="Properties that this version doesn't know, by device; passed on as they are, and named in Accepted's message.",
    )
    operator_affinity: Annotated[tuple[OperatorAffinity, ...], Field(max_length=16)] = Field(
        (), description="With HETERO: operators that shall run on one of its devices."
    )
    on_fallback: OnFallback | None = Field(
        None,
        description="What to do where the device that runs isn't the one asked for. Default: Fail where targetDevice names devices but no CPU, else Warn.",
    )
    accelerators: Annotated[tuple[AcceleratorRequest, ...], Field(max_length=8)] | None = Field(
        None,
        description="Accelerators a pod gets; left out: what targetDevice needs, from the default classes.",
    )
    cache: Cache = Field(Cache(), description="Caches of the pods.")
    warmup: Warmup = Field(Warmup(), description="What happens before a pod is ready.")
    replicas: Annotated[int, Field(ge=0, le=1000)] = Field(1, description="How many pods.")
    rollout: Rollout = Field(Rollout(), description="How a change reaches the pods.")
    suspend: bool = Field(False, description="True: no pods, whatever replicas says; everything else stays.")
    limits: Limits = Field(Limits(), description="What a pod takes on.")
    resources: Resources = Field(
        Resources(), description="CPU and memory of a pod; accelerators go under accelerators."
    )
    pod_template: PodTemplate = Field(PodTemplate(), description="What else the pods shall have.")


# --- the status


class Condition(Document):
    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: Annotated[str, Field(max_length=32768)] = ""
    last_transition_time: str
    observed_generation: int | None = None


class TensorStatus(Document):
    """A tensor as clients see it."""

    name: str
    datatype: str = Field(description="Open Inference Protocol datatype, such as FP32.")
    shape: tuple[int, ...] = Field(description="-1: any size.")


class ModelStatus(Document):
    uri: str
    digest: str | None = Field(None, description="What was fetched, as sha256:….")
    format: str | None = None
    size_bytes: int | None = None
    inputs: tuple[TensorStatus, ...] = ()
    outputs: tuple[TensorStatus, ...] = ()


class EffectiveProperty(Document):
    """A property where OpenVINO took something else than was asked for."""

    device: str
    property: str
    requested: str
    effective: str


class Startup(Document):
    """What a pod's start was spent on."""

    fetch_seconds: float | None = None
    read_seconds: float | None = None
    compile_seconds: float | None = None
    cache_hit: bool | None = Field(None, description="The compiled model came from the cache.")
    warmup_seconds: float | None = None


class PodStatus(Document):
    name: str
    node: str | None = None
    ready: bool
    execution_devices: tuple[str, ...] = ()
    startup: Startup | None = None


class Failure(Document):
    reason: str
    message: str
    pod: str | None = None
    time: str | None = None


class InferenceServiceStatus(Document):
    observed_generation: int | None = None
    conditions: tuple[Condition, ...] = ()
    replicas: int | None = None
    ready_replicas: int | None = None
    selector: str | None = None
    url: str | None = None
    execution_devices: tuple[str, ...] = Field((), description="What runs the model, over all replicas.")
    runs_on: str | None = Field(
        None, description="The execution devices in one text, such as GPU.0,CPU: the column RUNS-ON."
    )
    device_names: tuple[str, ...] = Field((), description="Full names of the execution devices.")
    model: ModelStatus | None = None
    effective: tuple[EffectiveProperty, ...] = Field(
        (), description="Properties where OpenVINO took something else than was asked for."
    )
    startup: Startup | None = Field(None, description="What the newest ready pod's start was spent on.")
    pods: tuple[PodStatus, ...] = Field((), description="At most 20 pods, the unhealthy first.")
    failure: Failure | None = Field(None, description="What went wrong last, while it is wrong.")


class ObjectMeta(Document):
    """The part of metadata that vinoserve reads; the rest is let through."""

    model_config = Document.model_config | {"extra": "ignore"}

    name: DnsLabel
    namespace: str | None = None
    uid: str | None = None
    generation: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    deletion_timestamp: str | None = None


class InferenceService(Document):
    """A model, the device it shall run on, and how: served over the Open Inference Protocol."""

    api_version: Literal["vinoserve.dev/v1alpha1"]
    kind: Literal["InferenceService"]
    metadata: ObjectMeta
    spec: InferenceServiceSpec
    status: InferenceServiceStatus | None = None


# --- AcceleratorClass


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


class AcceleratorClassStatus(Document):
    observed_generation: int | None = None
    conditions: tuple[Condition, ...] = ()
    nodes: int | None = Field(None, description="Nodes that offer the device.")
    allocatable: int | None = Field(None, description="Units that those nodes offer together.")


class ClusterObjectMeta(ObjectMeta):
    name: ObjectName


class AcceleratorClass(Document):
    """An accelerator as the admin offers it: how pods get it, and on which nodes it is."""

    api_version: Literal["vinoserve.dev/v1alpha1"]
    kind: Literal["AcceleratorClass"]
    metadata: ClusterObjectMeta
    spec: AcceleratorClassSpec
    status: AcceleratorClassStatus | None = None
