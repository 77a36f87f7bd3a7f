"""Condition types and reasons: stable names that people and programs match on."""

from enum import StrEnum


class ConditionType(StrEnum):
    """Conditions of an InferenceService. Ready, Reconciling and Stalled mean what kstatus says they mean."""

    ACCEPTED = "Accepted"
    MODEL_READY = "ModelReady"
    DEVICE_READY = "DeviceReady"
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SCALING_ACTIVE = "ScalingActive"


class ClassConditionType(StrEnum):
    """Conditions of an AcceleratorClass."""

    READY = "Ready"
    RENDER_GROUPS = "RenderGroups"


class AcceptedReason(StrEnum):
    """Why a spec is accepted or not. Every False one is the user's (or the admin's) to mend."""

    VALID = "Valid"
    INVALID_SPEC = "InvalidSpec"
    INVALID_DEVICE = "InvalidDevice"
    INVALID_PROPERTY = "InvalidProperty"
    ACCELERATOR_CLASS_NOT_FOUND = "AcceleratorClassNotFound"
    AMBIGUOUS_DEFAULT_CLASS = "AmbiguousDefaultClass"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    HOST_PATH_NOT_ALLOWED = "HostPathNotAllowed"
    NOT_RENDERABLE = "NotRenderable"


class FailureReason(StrEnum):
    """Why a model is not served, as the runtime says it in its report and its termination message."""

    FETCH_FAILED = "FetchFailed"
    PERMISSION_DENIED = "PermissionDenied"
    ACCESS_DENIED = "AccessDenied"
    DIGEST_MISMATCH = "DigestMismatch"
    UNSAFE_ARCHIVE = "UnsafeArchive"
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_INVALID = "ModelInvalid"
    INVALID_CONFIG = "InvalidConfig"
    INVALID_INPUT = "InvalidInput"
    INVALID_SHAPE = "InvalidShape"
    INVALID_PROPERTY = "InvalidProperty"
    UNSUPPORTED_OPERATOR = "UnsupportedOperator"
    DEVICE_NOT_FOUND = "DeviceNotFound"
    FELL_BACK_TO_CPU = "FellBackToCPU"
    COMPILE_FAILED = "CompileFailed"
    INFERENCE_FAILED = "InferenceFailed"
    DEVICE_LOST = "DeviceLost"
    PARITY_MISMATCH = "ParityMismatch"
    OUT_OF_MEMORY = "OutOfMemory"
    OUT_OF_DEVICE_MEMORY = "OutOfDeviceMemory"
    DISK_FULL = "DiskFull"
    ENGINE_CRASHED = "EngineCrashed"
    PORT_IN_USE = "PortInUse"
    CACHE_UNUSABLE = "CacheUnusable"
    INTERNAL_ERROR = "InternalError"


class ProgressReason(StrEnum):
    """What a service is busy with, or what holds its pods up, as seen from the cluster."""

    LOADED = "Loaded"
    FETCHING = "Fetching"
    READING = "Reading"
    COMPILING = "Compiling"
    WARMING_UP = "WarmingUp"
    COMPARING = "Comparing"
    DRAINING = "Draining"
    ON_REQUESTED_DEVICE = "OnRequestedDevice"
    PENDING = "Pending"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONTAINER_CONFIG_ERROR = "ContainerConfigError"
    CRASH_LOOP = "CrashLoop"
    QUOTA_EXCEEDED = "QuotaExceeded"
    PODS_FORBIDDEN = "PodsForbidden"
    VOLUME_NOT_READY = "VolumeNotReady"
    SANDBOX_FAILED = "SandboxFailed"
    DEVICE_NOT_PREPARED = "DeviceNotPrepared"
    DEVICE_UNHEALTHY = "DeviceUnhealthy"
    NODE_LOST = "NodeLost"
    NODE_REFUSED = "NodeRefused"
    EVICTED = "Evicted"
    PREEMPTED = "Preempted"
    DRAINED = "Drained"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    PRECOMPILING = "Precompiling"
    ROLLING_OUT = "RollingOut"
    IDLE = "Idle"
    RELOADING = "Reloading"
    SUSPENDED = "Suspended"
    SCALED_TO_ZERO = "ScaledToZero"
    READY = "Ready"
    NOT_REPORTING = "NotReporting"


class ScalingReason(StrEnum):
    """Whether a service with autoscaling is scaled."""

    SCALING = "Scaling"
    METRICS_UNAVAILABLE = "MetricsUnavailable"
    ANOTHER_AUTOSCALER = "AnotherAutoscaler"


class GroupReason(StrEnum):
    """Whether the groups that an AcceleratorClass gives its pods are those of the nodes' devices."""

    GROUPS_MATCH = "GroupsMatch"
    GROUP_MISSING = "GroupMissing"
    GROUPS_UNKNOWN = "GroupsUnknown"


class ClassReason(StrEnum):
    """Why an AcceleratorClass is ready or not."""

    AVAILABLE = "Available"
    NO_NODE = "NoNode"
    NO_DEVICE = "NoDevice"
    NO_DEVICE_CLASS = "NoDeviceClass"
    SELECTOR_NEVER_MATCHES = "SelectorNeverMatches"
    DEVICES_TAINTED = "DevicesTainted"
    DEVICES_UNHEALTHY = "DevicesUnhealthy"
    NODES_UNAVAILABLE = "NodesUnavailable"
    INVALID_SPEC = "InvalidSpec"
