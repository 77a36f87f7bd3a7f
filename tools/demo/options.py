"""What the demo can be asked for: arguments, and the same as variables of `make`."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from tools.toolbox.errors import ToolError

TEXT = "Hello from OpenVINO on Kubernetes"
DEVICES = ("CPU", "GPU")
CLUSTERS = ("devcluster", "current")


@dataclass(frozen=True)
class Options:
    device: Literal["CPU", "GPU"]
    text: str
    cluster: Literal["devcluster", "current"]
    image: str | None  # with cluster `current`: what the images' names begin with, and perhaps `:TAG`

    @property
    def operator_image(self) -> str:
        return self._image("operator")

    @property
    def runtime_image(self) -> str:
        return self._image("runtime")

    def _image(self, kind: str) -> str:
        """`registry/vinoserve:1.0` -> `registry/vinoserve-runtime:1.0`."""
        repository, tag = split_image(self.image or "")
        return f"{repository}-{kind}" + (f":{tag}" if tag else "")


def split_image(image: str) -> tuple[str, str]:
    """Repository and tag, which is empty where there is none. A colon before a slash is a registry's port."""
    repository, _, tag = image.rpartition(":")
    return (repository, tag) if repository and "/" not in tag else (image, "")


def read_options(
    argv: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ
) -> tuple[str, Options]:
    """`up` or `down`, and the options. Raises ToolError."""
    parser = argparse.ArgumentParser(
        prog="demo", description="vinoserve at work: a model answers on a real Kubernetes"
    )
    parser.add_argument("command", choices=("up", "down"))
    parser.add_argument(
        "--device", metavar="CPU|GPU", help="where the model runs; GPU is emulated on the demo's own cluster"
    )
    parser.add_argument("--text", help=f"what the picture says (default: {TEXT})")
    parser.add_argument(
        "--cluster", metavar="devcluster|current", help="a cluster of its own, or the current kube context"
    )
    parser.add_argument(
        "--image",
        metavar="PREFIX",
        help="with --cluster current: PREFIX-operator and PREFIX-runtime are pulled",
    )
    given = parser.parse_args(argv)

    def choose(name: str, default: str) -> str:
        argument = getattr(given, name)
        return str(argument if argument is not None else environment.get(name.upper()) or default)

    device, cluster, image = choose("device", "CPU"), choose("cluster", "devcluster"), choose("image", "")
    # TEXT="" is a text that is empty, not one that is left out
    text = given.text if given.text is not None else environment.get("TEXT", TEXT)
    if device not in DEVICES:
        raise ToolError(f"DEVICE={device}: write DEVICE=CPU or DEVICE=GPU")
    if cluster not in CLUSTERS:
        raise ToolError(
            f"CLUSTER={cluster}: write CLUSTER=current for the current kube context, or leave it out"
        )
    if given.command == "up" and cluster == "current" and not image:
        raise ToolError(
            "CLUSTER=current needs IMAGE=PREFIX: build operator/Containerfile and runtime/Containerfile, push them as "
            "PREFIX-operator:TAG and PREFIX-runtime:TAG, and write IMAGE=PREFIX:TAG"
        )
    if cluster == "devcluster" and image:
        raise ToolError(
            "IMAGE is for CLUSTER=current: the demo's own cluster gets images made from this checkout"
        )
    return given.command, Options(
        cast("Literal['CPU', 'GPU']", device),
        text,
        cast("Literal['devcluster', 'current']", cluster),
        image or None,
    )
