"""The demo, step by step: a cluster, the images, the chart, a model, an InferenceService, a picture, the text it read."""

import hashlib
import io
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import yaml
from PIL import Image
from tools.demo import local, manifests, waiting
from tools.demo.cluster import DEVCLUSTER, Access, devcluster
from tools.demo.manifests import MODELS, MODELS_FOLDER, NAMESPACE, SERVICE
from tools.demo.ocr import Picture, Reading, TextError, decode, draw_line, read_alphabet
from tools.demo.options import Options
from tools.images.mkimage import read_images
from tools.images.recipes import RECIPES, build_images
from tools.ppocr import NAME as MODEL_FILE
from tools.ppocr import recogniser
from tools.toolbox.cache import cache_root
from tools.toolbox.debian import need_bookworm
from tools.toolbox.errors import ToolError
from tools.toolbox.progress import say, show_time

CHART = Path(__file__).parents[2] / "charts/vinoserve"
RELEASE = "vinoserve"
SYSTEM = "vinoserve-system"
CLUSTER = "vinoserve"  # devcluster's default name, so that the user needs no --name
EMULATED = "runtime-gpu-emulated"
GPU_RESOURCES = ("gpu.intel.com/xe", "gpu.intel.com/i915")
READY = {"CPU": 300, "GPU": 900}  # seconds; an emulated GPU compiles its kernels on the CPU


@contextmanager
def stage(what: str) -> Iterator[None]:
    say(f"==> {what}")
    started = time.monotonic()
    yield
    if (took := time.monotonic() - started) >= 1:
        say(f"    done in {show_time(took)}")


def up(options: Options) -> int:
    started = time.monotonic()
    work = cache_root() / "demo"
    work.mkdir(parents=True, exist_ok=True)
    with stage("Model: PP-OCRv4's text recogniser"):
        model = recogniser()
        alphabet = read_alphabet(read_metadata(model, "character"))
        picture = draw(options.text, alphabet, work / "line.png")
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
    say(f"    a picture of your text is in {work / 'line.png'}")
    if options.cluster == "devcluster" and (reason := find_obstacle()):
        say(
            f"    no cluster here: {reason}\n    so `vinoserve serve` serves the same InferenceService on this machine"
        )
        reading = local.read_locally(model, digest, options.device, picture, alphabet)
        show(options.text, reading, started)
        return 0
    if options.cluster == "current":
        access, images = (
            prepare_current(),
            {"operator": options.operator_image, "runtime": options.runtime_image},
        )
    else:
        access, images = prepare_devcluster(options.device)
    install(access, images, find_gpu_resource(access, options.device))
    with stage("InferenceService: applied, then waited for"):
        upload(access, images["runtime"], model, digest)
        emulated = images.get(EMULATED) if options.device == "GPU" else None
        service = manifests.make_inference_service(
            manifests.make_model_uri(), digest, options.device, emulated
        )
        say(
            re.sub(
                "^",
                "    ",
                yaml.safe_dump(service, sort_keys=False, default_flow_style=None).strip(),
                flags=re.MULTILINE,
            )
        )
        access.apply(service)
        try:
            waiting.wait_ready(access, NAMESPACE, SERVICE, READY[options.device])
        except ToolError as error:
            raise ToolError(f"{error}\n{look_around(access)}") from error
    with stage("Picture: sent as u8 NHWC over the Open Inference Protocol"):
        reading = read_remotely(access, picture, alphabet)
    show(options.text, reading, started)
    say_goodbye(access, options)
    return 0


def down(options: Options) -> int:
    if options.cluster == "devcluster":
        devcluster("--name", CLUSTER, "down")
        return 0
    access = Access()
    with stage(
        f"Current kube context {access.kubectl('config', 'current-context').strip()}: what the demo installed goes"
    ):
        access.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=180s", timeout=200)
        access.run("helm", "uninstall", RELEASE, "-n", SYSTEM, "--ignore-not-found", "--wait", timeout=300)
    return 0


# --- the text and its picture


def read_metadata(model: Path, key: str) -> str:
    """A metadata property of an ONNX model."""
    for prop in onnx.load(str(model), load_external_data=False).metadata_props:
        if prop.key == key:
            return str(prop.value)
    raise ToolError(f"{model} has no metadata {key!r}")


def draw(text: str, alphabet: tuple[str, ...], file: Path) -> Picture:
    try:
        picture = draw_line(text, alphabet)
    except TextError as error:
        raise ToolError(str(error)) from error
    Image.fromarray(picture).save(file)
    return picture


def show(text: str, reading: Reading, started: float) -> None:
    if not reading.text:
        raise ToolError("the model read nothing in the picture")
    wanted = " ".join(text.split())
    verdict = "as it was written" if reading.text == wanted else f"it was written {wanted!r}"
    say("")
    print(f"    {reading.text}", flush=True)
    say("")
    say(
        f"That is what the model read ({verdict}), {reading.confidence:.0%} sure, {show_time(time.monotonic() - started)} from the start."
    )


# --- the cluster


def find_obstacle() -> str | None:
    """Why this machine can't have the demo's cluster, or None."""
    check = subprocess.run([DEVCLUSTER, "check"], capture_output=True, text=True, check=False)
    if check.returncode:
        return check.stderr.strip().removeprefix("devcluster: ")
    try:
        need_bookworm()
    except ToolError as error:
        return str(error)
    return None


def prepare_current() -> Access:
    access = Access()
    with stage(f"Cluster: the current kube context, {access.kubectl('config', 'current-context').strip()}"):
        access.kubectl("get", "--raw", "/readyz")
    return access


def prepare_devcluster(device: str) -> tuple[Access, dict[str, str]]:
    """The demo's own cluster, and its images by kind."""
    access = Access((str(DEVCLUSTER), "--name", CLUSTER, "run", "--"))
    with stage("Cluster: a real Kubernetes on this machine, in namespaces of its own"):
        devcluster("--name", CLUSTER, "up", "--gpus", "2")
    kinds = ["operator", "runtime", *([EMULATED] if device == "GPU" else [])]
    with stage("Images: made from this checkout, without a container engine"):
        images = build_images([RECIPES[kind] for kind in kinds])
        before = list_images()
        devcluster("--name", CLUSTER, "load", *(str(image.archive) for image in images))
        for image in images:
            for tag, digest in read_images(image.archive).items():
                if before.get(tag, digest) != digest:
                    forget_pods(access, tag)
    return access, {image.kind: image.tag for image in images}


def list_images() -> dict[str, str]:
    """Tag -> digest of the images that the node has."""
    command = [str(DEVCLUSTER), "--name", CLUSTER, "exec", "--", "ctr", "-n", "k8s.io", "images", "ls"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()[1:]
    return {line.split()[0]: line.split()[2] for line in lines}  # REF TYPE DIGEST ...


def forget_pods(access: Access, tag: str) -> None:
    """Delete the pods that run an older image of this tag: what owns them makes new ones."""
    pods = access.get("pods", "--all-namespaces").get("items", [])
    for pod in pods:
        if tag in {container["image"] for container in pod["spec"]["containers"]}:
            metadata = pod["metadata"]
            access.kubectl("-n", metadata["namespace"], "delete", "pod", metadata["name"], "--wait=false")


def find_gpu_resource(access: Access, device: str) -> str:
    """The resource that the cluster's nodes offer. Raises ToolError where a GPU is needed and there is none."""
    nodes = access.get("nodes")["items"]
    offered = {
        name
        for node in nodes
        for name, count in node["status"].get("allocatable", {}).items()
        if count != "0"
    }
    found = [resource for resource in GPU_RESOURCES if resource in offered]
    if device == "GPU" and not found:
        raise ToolError(
            f"DEVICE=GPU: no node offers {' or '.join(GPU_RESOURCES)}; install Intel's GPU device plugin, or leave DEVICE out"
        )
    return (found or GPU_RESOURCES)[0]


# --- what is installed


def install(access: Access, images: dict[str, str], gpu_resource: str) -> None:
    with stage(f"Chart: helm upgrade --install {RELEASE} charts/vinoserve -n {SYSTEM}"):
        values = {"acceleratorClasses.intelGpu.resourceName": gpu_resource}
        for kind in ("operator", "runtime"):
            repository, _, tag = images[kind].rpartition(":")
            tagged = bool(repository) and "/" not in tag
            values[f"{kind}.image.repository"] = repository if tagged else images[kind]
            if tagged:
                values[f"{kind}.image.tag"] = tag
        flags = [part for key, value in values.items() for part in ("--set-string", f"{key}={value}")]
        command = [
            "helm",
            "upgrade",
            "--install",
            RELEASE,
            str(CHART),
            "-n",
            SYSTEM,
            "--create-namespace",
            *flags,
        ]
        try:
            access.run(*command, "--wait", "--timeout", "5m", timeout=360)
        except ToolError as error:
            pods = access.kubectl("-n", SYSTEM, "get", "pods", "-o", "wide")
            raise ToolError(f"{error}\n{pods}look at: kubectl -n {SYSTEM} describe pods") from error


def upload(access: Access, image: str, model: Path, digest: str) -> None:
    """Put the model into the cluster: over `kubectl exec` into a pod that serves it to the InferenceService's pods."""
    access.apply(manifests.make_namespace())
    access.apply(*manifests.make_model_server(image))
    file = f"{MODELS_FOLDER}/{MODEL_FILE}"
    access.kubectl(
        *(
            "-n",
            NAMESPACE,
            "wait",
            f"pod/{MODELS}",
            "--for=jsonpath={.status.phase}=Running",
            "--timeout=120s",
        ),
        timeout=150,
    )
    python = ("-n", NAMESPACE, "exec", "-i", MODELS, "--", "python3", "-c")
    hashed = f"import hashlib, pathlib; p = pathlib.Path({file!r}); print(p.exists() and hashlib.sha256(p.read_bytes()).hexdigest())"
    if access.kubectl(*python, hashed).strip() == digest:
        return
    say(f"    {MODEL_FILE}, {model.stat().st_size / 1e6:.1f} MB, into pod {MODELS}")
    write = (
        f"import pathlib, shutil, sys; part = pathlib.Path({file!r} + '.part')\n"
        f"with part.open('wb') as out: shutil.copyfileobj(sys.stdin.buffer, out)\n"
        f"part.rename({file!r})"
    )
    access.kubectl(*python, write, given=model.read_bytes())
    access.kubectl(
        "-n", NAMESPACE, "wait", f"pod/{MODELS}", "--for=condition=Ready", "--timeout=60s", timeout=90
    )


def look_around(access: Access) -> str:
    """What helps to find out why: the pods, and the end of what the failing one said."""
    pods = access.kubectl("-n", NAMESPACE, "get", "vis,pods", "-o", "wide")
    logs = access.kubectl(
        *(
            "-n",
            NAMESPACE,
            "logs",
            "--all-containers",
            "--tail=8",
            "--prefix",
            "-l",
            f"app.kubernetes.io/instance={SERVICE}",
        )
    )
    return f"{pods}{logs}look at: kubectl -n {NAMESPACE} describe vis {SERVICE}"


# --- the answer


def read_remotely(access: Access, picture: Picture, alphabet: tuple[str, ...]) -> Reading:
    """Ask the service through `kubectl port-forward`, from a program that is in the cluster's reach."""
    buffer = io.BytesIO()
    np.save(buffer, picture)
    with access.forward(NAMESPACE, f"service/{SERVICE}", 8000) as address:
        url = f"{address}/v2/models/{SERVICE}/infer"
        answer = access.run(
            sys.executable, "-m", "tools.demo.infer", url, given=buffer.getvalue(), timeout=180
        )
    return decode(np.load(io.BytesIO(answer)), alphabet)


def say_goodbye(access: Access, options: Options) -> None:
    service = access.get("-n", NAMESPACE, f"inferenceservice/{SERVICE}")
    names = ", ".join(service["status"].get("deviceNames", []))
    prefix = "" if options.cluster == "current" else "tools/devcluster/devcluster run -- "
    current = "" if options.cluster == "devcluster" else f" CLUSTER=current IMAGE={options.image}"
    down_arguments = "" if options.cluster == "devcluster" else " CLUSTER=current"
    other = "CPU" if options.device == "GPU" else "GPU"
    say(f"It ran on: {names}\n\n$ kubectl -n {NAMESPACE} get vis")
    print(access.kubectl("-n", NAMESPACE, "get", "vis"), end="", flush=True)
    lines = [
        "",
        "How to go on:",
        f'  make demo TEXT="any line of text"{current}',
        f"  make demo DEVICE={other}{current}",
        f"  {prefix}kubectl -n {NAMESPACE} describe vis {SERVICE}",
        f"  {prefix}kubectl -n {NAMESPACE} edit vis {SERVICE}",
        f"  {prefix}kubectl -n {NAMESPACE} port-forward service/{SERVICE} 8000",
        f"  make demo-down{down_arguments}",
    ]
    say("\n".join(lines))
