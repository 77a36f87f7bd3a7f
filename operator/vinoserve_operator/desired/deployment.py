"""`make_deployment`: an init container that fetches, with the credentials; a container that serves, without them."""

import re
from collections.abc import Mapping
from posixpath import dirname
from typing import Any, Final
from urllib.parse import urlsplit

from vinoserve_api.base import Document
from vinoserve_api.conditions import AcceptedReason
from vinoserve_api.contract import (
    ADMIN_PORT,
    CACHE_DIR,
    CLAIM_DIR,
    CONFIG_PATH,
    CREDENTIALS_DIR,
    GRPC_PORT,
    HTTP_PORT,
    IMAGE_DIR,
    MODEL_DIR,
)
from vinoserve_api.problem import Problem, path_of
from vinoserve_api.v1alpha1 import InferenceService, ResourceList, TopologySpreadConstraint
from vinoserve_operator.desired.devices import DeviceAccess
from vinoserve_operator.desired.names import (
    CLAIM,
    CONFIG_ANNOTATION,
    FETCH,
    IMAGE_SCHEME,
    IMAGE_VOLUME,
    SERVE,
    make_config_key,
    make_labels,
    make_selector,
)
from vinoserve_operator.desired.rendering import render
from vinoserve_operator.errors import NotRenderableError

USER: Final = 65532
"""Of no account, as in most distroless images; the group too."""

STARTUP_PERIOD_SECONDS: Final = 2
STARTUP_SECONDS: Final = 30 * 60
"""A large model on a GPU compiles for many minutes; then the kubelet starts over."""

DRAIN_SECONDS: Final = 15
"""On top of the longest request: endpoints notice, in-flight requests are answered, the process ends."""

#: What the kernel has at paths that classes name; of others the kubelet asks nothing.
_HOST_DEVICES: Final = (
    (r"/dev/(dri|accel)/?", "Directory"),
    (r"/dev/(dxg|dri/(card|renderD)\d+|accel/accel\d+)", "CharDevice"),
)


def make_deployment(
    service: InferenceService,
    access: DeviceAccess,
    common: Mapping[str, object],
    *,
    config: str,
    image: str,
    claim_template: str | None = None,
) -> dict[str, Any]:
    """The Deployment; `common` are name, namespace, labels and owners. Raises NotRenderableError.

    `claim_template`: the ResourceClaimTemplate of each pod's devices, where it gets any by DRA.
    """
    spec, pod = service.spec, service.spec.pod_template
    name = service.metadata.name
    volumes, fetch_mounts, serve_mounts = _make_volumes(service, access, config)
    return render(
        "deployment.yaml.j2",
        **common,
        replicas=0 if spec.suspend else spec.replicas,
        min_ready_seconds=spec.rollout.min_ready_seconds,
        progress_deadline_seconds=STARTUP_SECONDS + 5 * 60 + spec.rollout.min_ready_seconds,
        selector=make_selector(name),
        strategy=_make_strategy(service, access),
        pod_labels=pod.labels | make_labels(name),
        pod_annotations=pod.annotations | {CONFIG_ANNOTATION: config},
        pod_fields=_make_pod_fields(service, access, claim_template),
        grace_seconds=spec.limits.request_timeout_seconds + DRAIN_SECONDS,
        user=USER,
        groups=list(access.groups),
        image=pod.image or image,
        config_path=CONFIG_PATH,
        http_port=HTTP_PORT,
        grpc_port=GRPC_PORT,
        admin_port=ADMIN_PORT,
        startup_period_seconds=STARTUP_PERIOD_SECONDS,
        startup_failures=STARTUP_SECONDS // STARTUP_PERIOD_SECONDS,
        fetch={
            "name": FETCH,
            # The same as the server's, so that quotas that ask for them are content: a pod needs the larger of both.
            "resources": _make_resources(service, {}),
            "security_context": _make_security_context(privileged=False),
            "mounts": fetch_mounts,
        },
        serve={
            "name": SERVE,
            "env": _make_environment(access),
            "resources": _make_resources(service, access.resources)
            | ({"claims": [{"name": CLAIM}]} if claim_template else {}),
            "security_context": _make_security_context(privileged=access.privileged),
            "mounts": serve_mounts,
        },
        volumes=volumes,
    )


def _make_strategy(service: InferenceService, access: DeviceAccess) -> dict[str, Any]:
    """Auto never asks for a device that the old pod holds: a surge pod would stay Pending for ever."""
    strategy = service.spec.rollout.strategy
    if strategy == "Recreate":
        return {"type": "Recreate"}
    old_first = strategy == "Auto" and access.exclusive
    surge, unavailable = (0, 1) if old_first else (1, 0)
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def _make_pod_fields(
    service: InferenceService, access: DeviceAccess, claim_template: str | None
) -> dict[str, Any]:
    """Fields of the pod's spec that come from the pod template and the class, without the empty ones."""
    pod = service.spec.pod_template
    node_selector = dict(access.node_selector)
    for label, value in pod.node_selector.items():
        if node_selector.setdefault(label, value) != value:
            raise NotRenderableError(
                AcceptedReason.NOT_RENDERABLE,
                [
                    Problem(
                        path_of(("nodeSelector", label), "spec.podTemplate"),
                        f"the AcceleratorClass wants {label}={node_selector[label]}, so no node has both; leave it out",
                    )
                ],
            )
    fields = {
        "nodeSelector": node_selector,
        "tolerations": [t.dump() for t in dict.fromkeys((*access.tolerations, *pod.tolerations))],
        "affinity": _as_written(pod.affinity) if pod.affinity else None,
        "topologySpreadConstraints": [
            _make_spread(c, service.metadata.name) for c in pod.topology_spread_constraints
        ],
        "priorityClassName": pod.priority_class_name,
        "serviceAccountName": pod.service_account_name,
        "runtimeClassName": pod.runtime_class_name or access.runtime_class_name,
        "imagePullSecrets": _make_pull_secrets(service),
        "resourceClaims": [{"name": CLAIM, "resourceClaimTemplateName": claim_template}]
        if claim_template
        else None,
    }
    return {field: value for field, value in fields.items() if value}


def _make_spread(constraint: TopologySpreadConstraint, name: str) -> dict[str, Any]:
    """Of the service's own pods, where it doesn't say of which: Kubernetes would then count none, and spread nothing."""
    written = _as_written(constraint)
    if constraint.label_selector is None:
        written["labelSelector"] = {"matchLabels": make_selector(name)}
    return written


def _make_pull_secrets(service: InferenceService) -> list[dict[str, str]]:
    """Those of the pod's images and, where the model is an image, the one that lets the node pull that."""
    names = [secret.name for secret in service.spec.pod_template.image_pull_secrets]
    if _is_image(service) and service.spec.model.credentials:
        names.append(service.spec.model.credentials.secret_name)
    return [{"name": name} for name in dict.fromkeys(names)]


def _is_image(service: InferenceService) -> bool:
    return service.spec.model.uri.startswith(IMAGE_SCHEME)


def _as_written(document: Document) -> dict[str, Any]:
    """Without the defaults of the lists that the user has left out."""
    return document.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _make_environment(access: DeviceAccess) -> list[dict[str, str]]:
    if not access.libraries:
        return []
    folders = [folder for library in access.libraries for folder in (library, f"{library}/lib")]
    return [{"name": "LD_LIBRARY_PATH", "value": ":".join(folders)}]


def _make_resources(service: InferenceService, extended: Mapping[str, int]) -> dict[str, Any]:
    """CPU and memory as asked for; accelerators as requests and limits, which must be equal."""

    def merge(asked: ResourceList | None) -> dict[str, Any]:
        return (asked.dump() if asked else {}) | dict(extended)

    given = {
        "requests": merge(service.spec.resources.requests),
        "limits": merge(service.spec.resources.limits),
    }
    return {
        which: {key: str(quantity) for key, quantity in amounts.items()}
        for which, amounts in given.items()
        if amounts
    }


def _make_security_context(*, privileged: bool) -> dict[str, Any]:
    """What the restricted Pod Security profile wants, except where a class mounts device nodes of the host."""
    context: dict[str, Any] = {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    return context | ({"privileged": True} if privileged else {"allowPrivilegeEscalation": False})


Mounts = list[dict[str, Any]]


def _make_volumes(
    service: InferenceService, access: DeviceAccess, config: str
) -> tuple[Mounts, Mounts, Mounts]:
    """Volumes, mounts of the fetch container, mounts of the serve container."""
    spec = service.spec
    volumes: Mounts = []
    fetch: Mounts = []
    serve: Mounts = []

    def add(
        name: str,
        path: str,
        source: dict[str, Any],
        *,
        fetch_mode: str = "",
        serve_mode: str = "",
        sub_path: str | None = None,
    ) -> None:
        """Modes: `ro`, `rw`, or nothing where the container doesn't get it."""
        volumes.append({"name": name, **source})
        for mounts, mode in ((fetch, fetch_mode), (serve, serve_mode)):
            if mode:
                more: dict[str, Any] = {"readOnly": True} if mode == "ro" else {}
                more |= {"subPath": sub_path} if sub_path else {}
                mounts.append({"name": name, "mountPath": path, **more})

    items = [{"key": make_config_key(config), "path": CONFIG_PATH.rsplit("/", 1)[1]}]
    add(
        "config",
        dirname(CONFIG_PATH),
        {"configMap": {"name": service.metadata.name, "items": items}},
        fetch_mode="ro",
        serve_mode="ro",
    )
    add("models", MODEL_DIR, _make_empty_dir(spec.cache.model.size_limit), fetch_mode="rw", serve_mode="ro")
    cache, cache_folder = _make_compiled_cache(service, access)
    add("cache", CACHE_DIR, cache, serve_mode="rw", sub_path=cache_folder)
    add("tmp", "/tmp", _make_empty_dir(None), fetch_mode="rw", serve_mode="rw")  # noqa: S108  # the pod's own
    uri = urlsplit(spec.model.uri)
    if uri.scheme == "pvc":
        claim = {"persistentVolumeClaim": {"claimName": uri.netloc, "readOnly": True}}
        add("claim", CLAIM_DIR, claim, fetch_mode="ro", serve_mode="ro")
    if _is_image(service):
        image = {"image": _make_image_source(spec.model.uri)}
        add(IMAGE_VOLUME, IMAGE_DIR, image, fetch_mode="ro", serve_mode="ro")
    elif spec.model.credentials:
        secret = {"secret": {"secretName": spec.model.credentials.secret_name, "defaultMode": 0o440}}
        add("credentials", CREDENTIALS_DIR, secret, fetch_mode="ro")
    for index, path in enumerate(access.host_paths):
        add(f"device-{index}", path, {"hostPath": _make_host_device(path)}, serve_mode="rw")
    for index, path in enumerate(access.libraries):
        add(f"library-{index}", path, {"hostPath": {"path": path, "type": "Directory"}}, serve_mode="ro")
    return volumes, fetch, serve


def _make_compiled_cache(
    service: InferenceService, access: DeviceAccess
) -> tuple[dict[str, Any], str | None]:
    """The volume, and the folder of it that the pod sees.

    Of a host's folder it is the service's own, which the kubelet makes with the mode and, if that says so, the group of the
    class' folder: one that it made for a whole volume would be root's.
    """
    compiled = service.spec.cache.compiled
    if compiled.type == "PersistentVolumeClaim":
        return {"persistentVolumeClaim": {"claimName": compiled.claim_name}}, None
    if compiled.type == "HostPath":
        source = {"path": access.cache_folder, "type": "DirectoryOrCreate"}
        return {"hostPath": source}, f"{service.metadata.namespace}/{service.metadata.name}"
    return _make_empty_dir(compiled.size_limit), None


def _make_host_device(path: str) -> dict[str, str]:
    """A node that hasn't got it says so: without a type an empty folder would be made in its place, in the host's /dev."""
    kind = next((kind for pattern, kind in _HOST_DEVICES if re.fullmatch(pattern, path)), None)
    return {"path": path} | ({"type": kind} if kind else {})


def _make_image_source(uri: str) -> dict[str, str]:
    """The node pulls it, as it does images of containers: `latest` anew with each pod, what else has a name once."""
    reference = uri.removeprefix(IMAGE_SCHEME)
    return {
        "reference": reference,
        "pullPolicy": "Always" if reference.endswith(":latest") else "IfNotPresent",
    }


def _make_empty_dir(size_limit: str | int | None) -> dict[str, Any]:
    return {"emptyDir": {} if size_limit is None else {"sizeLimit": str(size_limit)}}
