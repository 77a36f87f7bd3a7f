"""What the command line does with the operator: run it, or show what it would apply."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final

import structlog
import yaml
from kubernetes.aio.config import ConfigException

from vinoserve_api.problem import InvalidObject, Problem
from vinoserve_api.v1alpha1 import AcceleratorClass, InferenceService
from vinoserve_operator.app import Operator
from vinoserve_operator.desired.builtin import make_builtin_classes
from vinoserve_operator.desired.children import make_children
from vinoserve_operator.desired.devices import Inventory
from vinoserve_operator.errors import NotRenderableError, SettingsError
from vinoserve_operator.kube import load_configuration
from vinoserve_operator.logs import configure_logs
from vinoserve_operator.reports import HttpFetch
from vinoserve_operator.settings import Settings

_NO_UID: Final = "00000000-0000-0000-0000-000000000000"

log = structlog.get_logger()


def run() -> int:
    """Run the operator until SIGTERM or SIGINT; the exit code."""
    try:
        settings = Settings.load(os.environ)
        configure_logs(settings.log_level)
        asyncio.run(_run(settings))
    except SettingsError as error:
        print(f"vinoserve operator: {error}", file=sys.stderr)  # noqa: T201  # there is no log yet
        return 2
    except ConfigException as error:
        log.error("no cluster", error=str(error), hint="set KUBECONFIG, or run in a pod")  # noqa: TRY400
        return 2
    except OSError as error:
        log.error("cannot run", error=str(error))  # noqa: TRY400
        return 1
    return 0


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with HttpFetch() as fetch:
        await Operator(settings, await load_configuration(), fetch).run(stop)


def render(services: Sequence[InferenceService], classes: Sequence[AcceleratorClass] = ()) -> str:
    """What the operator would apply for valid services, as YAML documents; with the built-in classes where none are given.

    The same bytes each time. Raises InvalidObject where the classes have no answer to a service.
    """
    inventory = Inventory({c.metadata.name: c for c in classes or make_builtin_classes()})
    image = Settings.load(os.environ).image
    documents: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for service in services:
        try:
            documents += make_children(_complete(service), inventory, image=image)
        except NotRenderableError as error:
            problems += error.problems
    if problems:
        raise InvalidObject(problems)
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, explicit_start=True, width=120)


def _complete(service: InferenceService) -> InferenceService:
    """With what an object gets when it is created."""
    metadata = service.metadata.model_copy(
        update={"namespace": service.metadata.namespace or "default", "uid": _NO_UID}
    )
    return service.model_copy(update={"metadata": metadata})


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as such, nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)
