"""Build what scales pods by metrics: metrics-server, and KEDA without the scalers that its tests here don't use.

KEDA's scalers for other sources than Prometheus link the client libraries of some fifty products: compiling them takes
several times as long as the rest. Nothing else of it is changed.
"""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tools.devcluster.build import Go, read_pin
from tools.devcluster.golang import VERSION
from tools.toolbox.cache import cache_root, make_key
from tools.toolbox.errors import ToolError
from tools.toolbox.programs import run
from tools.toolbox.steps import Step, make_missing

HERE = Path(__file__).parent / "keda"
SOURCE = HERE / "source"
MODULE = HERE / "build"
KEDA = "github.com/kedacore/keda/v2"
METRICS_SERVER = "sigs.k8s.io/metrics-server"

#: azure_queue_scaler.go defines a constant that the one for Prometheus needs.
SCALERS = ("scaler.go", "prometheus_scaler.go", "azure_queue_scaler.go")
TRIGGER = "prometheus"


@dataclass(frozen=True)
class Autoscalers:
    """One build of the pinned programs."""

    root: Path

    @property
    def metrics_server(self) -> Path:
        return self.root / "bin/metrics-server"

    @property
    def keda_operator(self) -> Path:
        return self.root / "bin/keda-operator"

    @property
    def keda_adapter(self) -> Path:
        """Serves external.metrics.k8s.io."""
        return self.root / "bin/keda-adapter"

    @property
    def keda(self) -> Path:
        """KEDA's sources."""
        return self.root / "keda"

    @property
    def keda_crds(self) -> Path:
        return self.keda / "config/crd/bases"


def build_autoscalers() -> Autoscalers:
    """Make what is missing, one step after the other; where all is there, this takes no time and no network."""
    autoscalers = Autoscalers(cache_root() / "autoscalers" / make_key(HERE, Path(__file__), VERSION))
    make_missing(make_steps(autoscalers))
    return autoscalers


def make_steps(autoscalers: Autoscalers) -> list[Step]:
    go = Go()
    keda, metrics_server = read_pin(SOURCE, KEDA), read_pin(MODULE, METRICS_SERVER)

    def program(dest: Path, what: str, seconds: int, package: str, flags: str = "") -> Step:
        return Step(dest, what, seconds, lambda made: go.build(autoscalers.keda, package, made, flags))

    version = f"-X {KEDA}/version.Version={keda}"
    return [
        Step(autoscalers.keda, f"sources of KEDA {keda}", 5, lambda made: copy_keda(go, made)),
        program(autoscalers.keda_operator, f"KEDA {keda}", 95, "./cmd/operator", version),
        program(autoscalers.keda_adapter, "KEDA's metrics adapter", 45, "./cmd/adapter", version),
        program(
            autoscalers.metrics_server,
            f"metrics-server {metrics_server}",
            10,
            f"{METRICS_SERVER}/cmd/metrics-server",
        ),
    ]


def copy_keda(go: Go, dest: Path) -> None:
    """KEDA's module, checked by source/go.sum, with build/go.mod in the place of its own."""
    program, env = go.found
    said = run([program, "mod", "download", "-json", f"{KEDA}@{read_pin(SOURCE, KEDA)}"], cwd=SOURCE, env=env)
    shutil.copytree(json.loads(said.stdout)["Dir"], dest)
    for path in (dest, *dest.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    for file in (dest / "pkg/scalers").glob("*.go"):
        if file.name not in SCALERS:
            file.unlink()
    builder = dest / "pkg/scaling/scalers_builder.go"
    builder.write_text(keep_trigger(builder.read_text()))
    for file in (MODULE / "go.mod", MODULE / "go.sum"):
        shutil.copy2(file, dest / file.name)


def keep_trigger(builder: str) -> str:
    """The switch over the triggers' types with one case and the default."""
    found = re.search(
        rf'(?P<head>\tswitch triggerType \{{\n).*?(?P<case>\tcase "{TRIGGER}":\n.*?)\tcase .*?(?P<default>\tdefault:)',
        builder,
        re.DOTALL,
    )
    if not found:
        raise ToolError(f"KEDA's scalers_builder.go has no case {TRIGGER}: is it of another version?")
    return builder[: found.start()] + "".join(found.groups()) + builder[found.end() :]
