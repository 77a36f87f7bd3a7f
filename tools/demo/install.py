"""What the demo puts into the cluster: the chart, and the model."""

from pathlib import Path

from tools.demo import manifests
from tools.demo.cluster import Access
from tools.demo.manifests import MODEL_FILE, MODELS, MODELS_FOLDER, NAMESPACE, SERVICE
from tools.demo.options import split_image
from tools.demo.stages import stage
from tools.toolbox.errors import ToolError
from tools.toolbox.progress import say

CHART = Path(__file__).parents[2] / "charts/vinoserve"
RELEASE = "vinoserve"
SYSTEM = "vinoserve-system"

# run in the pod; {!r} is the file
HASH = """\
import hashlib, pathlib
file = pathlib.Path({!r})
print(hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "")
"""
WRITE = """\
import pathlib, shutil, sys
file = pathlib.Path({!r})
part = file.with_suffix(".part")
with part.open("wb") as out:
    shutil.copyfileobj(sys.stdin.buffer, out)
part.rename(file)
"""


def install(access: Access, operator: str, runtime: str, gpu_resource: str) -> None:
    """The chart, with these images."""
    values = {"acceleratorClasses.intelGpu.resourceName": gpu_resource}
    for part, image in (("operator", operator), ("runtime", runtime)):
        values[f"{part}.image.repository"], values[f"{part}.image.tag"] = split_image(image)
    flags = [flag for key, value in values.items() for flag in ("--set-string", f"{key}={value}")]
    command = (
        "helm",
        "upgrade",
        "--install",
        RELEASE,
        str(CHART),
        "-n",
        SYSTEM,
        "--create-namespace",
        *flags,
    )
    with stage(f"Chart: helm upgrade --install {RELEASE} charts/vinoserve -n {SYSTEM}", beat=True):
        access.run(*command)


def wait_operator(access: Access) -> None:
    system = ("-n", SYSTEM)
    with stage("Operator: ready", beat=True):
        try:
            access.kubectl(*system, "rollout", "status", f"deployment/{RELEASE}", "--timeout=5m", timeout=330)
        except ToolError as error:
            pods = access.kubectl(*system, "get", "pods", "-o", "wide")
            raise ToolError(f"{error}\n{pods}look at: kubectl -n {SYSTEM} describe pods") from error


def upload(access: Access, image: str, model: Path, digest: str) -> None:
    """Put the model into the cluster: over `kubectl exec` into a pod that serves it to the InferenceService's pods."""
    access.apply(manifests.make_namespace())
    access.apply(*manifests.make_model_server(image))
    file = f"{MODELS_FOLDER}/{MODEL_FILE}"
    demo = ("-n", NAMESPACE)
    running = "--for=jsonpath={.status.phase}=Running"
    access.kubectl(*demo, "wait", f"pod/{MODELS}", running, "--timeout=120s", timeout=150)
    python = (*demo, "exec", "-i", MODELS, "--", "python3", "-c")
    if access.kubectl(*python, HASH.format(file)).strip() == digest:
        return
    say(f"    {MODEL_FILE}, {model.stat().st_size / 1e6:.1f} MB, into pod {MODELS}")
    access.kubectl(*python, WRITE.format(file), given=model.read_bytes())
    access.kubectl(*demo, "wait", f"pod/{MODELS}", "--for=condition=Ready", "--timeout=60s", timeout=90)


def look_around(access: Access) -> str:
    """What helps to find out why: the pods, and the end of what the failing one said."""
    demo = ("-n", NAMESPACE)
    pods = access.kubectl(*demo, "get", "vis,pods", "-o", "wide")
    selector = f"app.kubernetes.io/instance={SERVICE}"
    logs = access.kubectl(*demo, "logs", "--all-containers", "--tail=8", "--prefix", "-l", selector)
    return f"{pods}{logs}look at: kubectl -n {NAMESPACE} describe vis {SERVICE}"
