"""How a pod gets at its accelerators: what the AcceleratorClasses of a service mean for its pods."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from vinoserve_api.conditions import AcceptedReason
from vinoserve_api.device import ACCELERATORS, parse_target
from vinoserve_api.problem import Problem
from vinoserve_api.v1alpha1 import (
    DEFAULT_CLASS_ANNOTATION,
    AcceleratorClass,
    AcceleratorRequest,
    InferenceService,
    Toleration,
)
from vinoserve_operator.desired.namespaces import describe_allowed, may_use
from vinoserve_operator.errors import NotRenderableError

_FIELD: Final = "spec.accelerators"


@dataclass(frozen=True)
class Inventory:
    """What the cluster has to offer.

    `invalid` says what is wrong with classes that can't be read, by name; `render_groups` are the gids that the nodes
    of a class are labelled with, by class; `namespaces` are the namespaces' labels, None where there is no cluster to
    look at: then it isn't judged who may use a class.
    """

    classes: Mapping[str, AcceleratorClass] = field(default_factory=dict)
    invalid: Mapping[str, str] = field(default_factory=dict)
    render_groups: Mapping[str, Sequence[int]] = field(default_factory=dict)
    namespaces: Mapping[str, Mapping[str, str]] | None = None

    def may_use(self, accelerator: AcceleratorClass, service: InferenceService) -> bool:
        """Whether the service's namespace may use the class."""
        namespace = service.metadata.namespace or ""
        return self.namespaces is None or may_use(accelerator, namespace, self.namespaces.get(namespace, {}))


@dataclass(frozen=True)
class Claim:
    """Devices of one DeviceClass, by Dynamic Resource Allocation."""

    name: str
    """Of the request in the claim, by which status tells the classes' devices from each other."""
    device_class: str
    selectors: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class DeviceAccess:
    """What the accelerators of a service mean for its pods."""

    resources: Mapping[str, int] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    host_paths: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    runtime_class_name: str | None = None
    cache_folder: str | None = None
    """Of the nodes, where the compiled cache is there."""
    exclusive: bool = False

    @property
    def privileged(self) -> bool:
        """A mounted device node alone can't be opened: the device cgroup blocks it (kubernetes#79090)."""
        return bool(self.host_paths)


def make_device_access(
    service: InferenceService, inventory: Inventory, known_groups: Iterable[int] = ()
) -> DeviceAccess:
    """Merge what the classes say that the service uses.

    `known_groups` are the gids that the pods have already: where they are gathered from nodes, they stay, so that a node
    that leaves doesn't roll the pods on the others.
    Raises NotRenderableError where a class is missing or ambiguous, of a type that the target doesn't use, or contradicts
    another, and where all of them give too few units.
    """
    chosen = _choose(service, inventory)
    _check_units(service, chosen, inventory)
    resources: dict[str, int] = {}
    claims: list[Claim] = []
    host_paths: dict[str, None] = {}
    libraries: dict[str, None] = {}
    groups: set[int] = set()
    node_selector: dict[str, str] = {}
    tolerations: dict[Toleration, None] = {}
    runtime_classes: dict[str, str] = {}
    for accelerator, count in chosen:
        name, spec = accelerator.metadata.name, accelerator.spec
        if spec.access == "DevicePlugin" and spec.device_plugin:
            resource = spec.device_plugin.resource_name
            resources[resource] = resources.get(resource, 0) + count
        elif spec.access == "DRA" and spec.dra:
            request = make_request_name(name)
            claims.append(Claim(request, spec.dra.device_class_name, spec.dra.selectors, count))
        elif spec.host_path:
            host_paths |= dict.fromkeys(spec.host_path.paths)
            libraries |= dict.fromkeys(spec.host_path.libraries)
        gathered = inventory.render_groups.get(name, ())
        groups |= {*gathered, *known_groups} if spec.render_groups is None else set(spec.render_groups)
        for label, value in spec.node_selector.items():
            if node_selector.setdefault(label, value) != value:
                raise _refuse(
                    f"AcceleratorClass {name} wants nodes with {label}={value}, another of the classes named wants "
                    f"{label}={node_selector[label]}: no node has both; name classes of one kind of node"
                )
        tolerations |= dict.fromkeys(spec.tolerations)
        if spec.runtime_class_name:
            runtime_classes[spec.runtime_class_name] = name
    if len(runtime_classes) > 1:
        raise _refuse(
            "the classes named want different RuntimeClasses ("
            + ", ".join(f"{name}: {runtime}" for runtime, name in runtime_classes.items())
            + "); set spec.podTemplate.runtimeClassName"
        )
    return DeviceAccess(
        resources=resources,
        claims=tuple(claims),
        host_paths=tuple(host_paths),
        libraries=tuple(libraries),
        groups=tuple(sorted(groups)),
        node_selector=node_selector,
        tolerations=tuple(tolerations),
        runtime_class_name=next(iter(runtime_classes), None),
        cache_folder=_find_cache_folder(service, [accelerator for accelerator, _ in chosen]),
        exclusive=any(accelerator.spec.exclusive for accelerator, _ in chosen),
    )


def choose_classes(service: InferenceService, inventory: Inventory) -> list[str]:
    """Names of the AcceleratorClasses that the service uses. Raises NotRenderableError as make_device_access does."""
    return [accelerator.metadata.name for accelerator, _ in _choose(service, inventory)]


def make_request_name(accelerator_class: str) -> str:
    """A class's name as a DNS label: what a request in a claim may be called."""
    return accelerator_class.replace(".", "-")[:63].rstrip("-")


def _find_cache_folder(service: InferenceService, chosen: Sequence[AcceleratorClass]) -> str | None:
    """Where the classes let the compiled cache be on the node, and the service wants it there."""
    if service.spec.cache.compiled.type != "HostPath":
        return None
    path = "spec.cache.compiled.type"
    folders = {c.spec.host_path_cache: c.metadata.name for c in chosen if c.spec.host_path_cache}
    if len(folders) == 1:
        return next(iter(folders))
    if folders:
        named = ", ".join(f"{name}: {folder}" for folder, name in sorted(folders.items()))
        message = f"the classes named have different folders for it ({named}); take a PersistentVolumeClaim"
    elif chosen:
        names = ", ".join(c.metadata.name for c in chosen)
        message = (
            f"AcceleratorClass {names} doesn't allow HostPath; take a PersistentVolumeClaim or EmptyDir, or ask the "
            "cluster's admin to set hostPathCache there"
        )
    else:
        message = (
            "HostPath needs an AcceleratorClass that allows it, and this service has none; take a PersistentVolumeClaim or "
            "EmptyDir, or name a class with hostPathCache in spec.accelerators"
        )
    raise NotRenderableError(AcceptedReason.HOST_PATH_NOT_ALLOWED, [Problem(path, message)])


def _choose(service: InferenceService, inventory: Inventory) -> list[tuple[AcceleratorClass, int]]:
    requests = service.spec.accelerators
    if requests is not None:
        chosen = [
            (f"{_FIELD}[{i}].class", _find(f"{_FIELD}[{i}].class", r, inventory), r.count)
            for i, r in enumerate(requests)
        ]
        _check_types(service, chosen, inventory)
    else:
        needed = parse_target(service.spec.target_device).units()
        chosen = [
            (_FIELD, _find_default(kind, service, inventory), count) for kind, count in sorted(needed.items())
        ]
    refused = [
        _refuse_namespace(path, accelerator, service, inventory)
        for path, accelerator, _ in chosen
        if not inventory.may_use(accelerator, service)
    ]
    if refused:
        raise NotRenderableError(AcceptedReason.NAMESPACE_NOT_ALLOWED, refused)
    return [(accelerator, count) for _, accelerator, count in chosen]


def _refuse_namespace(
    path: str, accelerator: AcceleratorClass, service: InferenceService, inventory: Inventory
) -> Problem:
    kind = accelerator.spec.device_type
    others = _list_usable({kind}, service, inventory)
    instead = f"name one that is ({', '.join(others)})" if others else f"none of type {kind} is"
    which = "AcceleratorClass" if service.spec.accelerators is not None else "the default AcceleratorClass"
    return Problem(
        path,
        f"{which} {accelerator.metadata.name} is not for namespace {service.metadata.namespace} but for "
        f"{describe_allowed(accelerator)}; {instead}, or ask the cluster's admin to add the namespace to its allowedNamespaces",
    )


def _describe_usable(kinds: Collection[str], service: InferenceService, inventory: Inventory) -> str:
    names = ", ".join(_list_usable(kinds, service, inventory)) or "there is none for this namespace"
    return f"of type {' or '.join(sorted(kinds))} ({names})"


def _list_usable(kinds: Collection[str], service: InferenceService, inventory: Inventory) -> list[str]:
    """Names of the classes of these types that the service's namespace may use."""
    return [
        name
        for name, c in sorted(inventory.classes.items())
        if c.spec.device_type in kinds and inventory.may_use(c, service)
    ]


def _check_types(
    service: InferenceService, chosen: Sequence[tuple[str, AcceleratorClass, int]], inventory: Inventory
) -> None:
    """OpenVINO never uses a device of a type that the target leaves out: the pod would only hold it.

    A target that uses the CPU alone may name any class: some are named for their hostPathCache, not for the device.
    """
    target = parse_target(service.spec.target_device)
    usable = target.candidate_kinds & frozenset(ACCELERATORS)
    wrong = [(path, c) for path, c, _ in chosen if usable and c.spec.device_type not in usable]
    if not wrong:
        return
    instead = "remove it"
    if len(wrong) == len(chosen):
        instead = f"name a class {_describe_usable(usable, service, inventory)}"
    raise NotRenderableError(
        AcceptedReason.NOT_RENDERABLE,
        [
            Problem(
                path,
                f"{c.metadata.name} is of type {c.spec.device_type}, which targetDevice "
                f"{target} doesn't use; {instead}, or change targetDevice",
            )
            for path, c in wrong
        ],
    )


def _find(path: str, request: AcceleratorRequest, inventory: Inventory) -> AcceleratorClass:
    found = inventory.classes.get(request.class_)
    if found is not None:
        return found
    wrong = inventory.invalid.get(request.class_)
    raise NotRenderableError(
        AcceptedReason.ACCELERATOR_CLASS_NOT_FOUND,
        [
            Problem(
                path,
                f"AcceleratorClass {request.class_} is not valid: {wrong}"
                if wrong
                else f"there is no AcceleratorClass {request.class_}; {_name_existing(inventory)}",
            )
        ],
    )


def _find_default(kind: str, service: InferenceService, inventory: Inventory) -> AcceleratorClass:
    defaults = [
        c
        for _, c in sorted(inventory.classes.items())
        if c.spec.device_type == kind and c.metadata.annotations.get(DEFAULT_CLASS_ANNOTATION) == "true"
    ]
    target = service.spec.target_device
    if len(defaults) > 1:
        names = " and ".join(c.metadata.name for c in defaults)
        raise NotRenderableError(
            AcceptedReason.AMBIGUOUS_DEFAULT_CLASS,
            [
                Problem(
                    _FIELD,
                    f"{names} are both the default AcceleratorClass for {kind}, which targetDevice {target} needs; name "
                    f"one here, or take the annotation {DEFAULT_CLASS_ANNOTATION} from all but one",
                )
            ],
        )
    if not defaults:
        raise NotRenderableError(
            AcceptedReason.ACCELERATOR_CLASS_NOT_FOUND,
            [
                Problem(
                    _FIELD,
                    f"targetDevice {target} needs an AcceleratorClass of type {kind} and none is the default; name one "
                    f'here, or annotate one with {DEFAULT_CLASS_ANNOTATION}="true"; {_name_existing(inventory)}',
                )
            ],
        )
    return defaults[0]


def _name_existing(inventory: Inventory) -> str:
    names = [f"{name} ({c.spec.device_type})" for name, c in sorted(inventory.classes.items())]
    names += [f"{name} (not valid)" for name in sorted(inventory.invalid)]
    return "there are: " + ", ".join(names) if names else "there are none"


def _check_units(
    service: InferenceService, chosen: Sequence[tuple[AcceleratorClass, int]], inventory: Inventory
) -> None:
    """A device plugin or a DRA driver gives exactly as many devices as are counted; OpenVINO numbers those.

    AUTO may be given none of a type: then it takes the next of its list, and `onFallback` says what that means. And who gives
    none at all has other ways: a RuntimeClass, or an emulated device.
    """
    if not chosen:
        return
    target = parse_target(service.spec.target_device)
    for kind, needed in sorted(target.units().items()):
        given = [(c.spec.access, count) for c, count in chosen if c.spec.device_type == kind]
        total = sum(count for _, count in given)
        if any(access == "HostPath" for access, _ in given) or total >= needed:
            continue
        if given:
            instead = f"raise count to {needed}"
        elif target.mode == "AUTO":
            continue
        else:
            usable = _describe_usable({kind}, service, inventory)
            instead = f"add a class {usable}, or leave accelerators out for the default classes"
        raise _refuse(
            f"targetDevice {target} needs {needed} of type {kind} in a pod, these give {total}; {instead}"
        )


def _refuse(message: str) -> NotRenderableError:
    return NotRenderableError(AcceptedReason.NOT_RENDERABLE, [Problem(_FIELD, message)])
