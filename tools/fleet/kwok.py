"""kwok: nodes without a kubelet, on which pods are ready at once. Built from its Go module, with the stages that it brings."""

from pathlib import Path
from typing import Any

from tools.devcluster.golang import VERSION, find_go
from tools.devcluster.layout import NODE_IP
from tools.toolbox.cache import cache_root, make_key
from tools.toolbox.programs import run
from tools.toolbox.steps import Step, make_missing

PROGRAMS = Path(__file__).parent / "programs"
MODULE = "sigs.k8s.io/kwok"
STAGES = (
    "node/fast/node-initialize",
    "node/heartbeat/node-heartbeat",
    "pod/fast/pod-ready",
    "pod/fast/pod-delete",
)
ANNOTATION = ("kwok.x-k8s.io/node", "fake")
POD_CIDR = "10.128.0.0/10"


def make_kwok() -> Path:
    """The folder with `kwok` and `stages.yaml`."""
    folder = cache_root() / "fleet" / make_key(PROGRAMS, VERSION, *STAGES)
    make_missing(
        [
            Step(folder / "kwok", "kwok", 100, _build),
            Step(folder / "stages.yaml", "kwok's stages", 1, _write_stages),
        ]
    )
    return folder


def _build(dest: Path) -> None:
    go, env = find_go()
    run(
        [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", dest, f"{MODULE}/cmd/kwok"],
        cwd=PROGRAMS,
        env=env,
    )


def _write_stages(dest: Path) -> None:
    go, env = find_go()
    module = Path(run([go, "list", "-m", "-f", "{{.Dir}}", MODULE], cwd=PROGRAMS, env=env).stdout.strip())
    files = [module / "kustomize/stage" / f"{stage}.yaml" for stage in STAGES]
    dest.write_text("\n---\n".join(file.read_text() for file in files))


def make_command(folder: Path, kubeconfig: str) -> list[str]:
    return [
        str(folder / "kwok"),
        f"--kubeconfig={kubeconfig}",
        f"--config={folder / 'stages.yaml'}",
        f"--manage-nodes-with-annotation-selector={'='.join(ANNOTATION)}",
        f"--cidr={POD_CIDR}",
        f"--node-ip={NODE_IP}",
        "--node-lease-duration-seconds=40",
    ]


def make_node(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {ANNOTATION[0]: ANNOTATION[1]},
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
        },
    }
