"""The demo, step by step: a cluster, the images, the chart, a model, an InferenceService, a picture, the text it read."""

import hashlib
import io
import platform
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import onnx
import yaml
from PIL import Image

from tools.demo import local, manifests, waiting
from tools.demo.cluster import Access, devcluster
from tools.demo.infer import ask
from tools.demo.install import RELEASE, SYSTEM, install, look_around, upload, wait_operator
from tools.demo.manifests import NAMESPACE, SERVICE
from tools.demo.ocr import Picture, Reading, TextError, decode, draw_line, read_alphabet
from tools.demo.options import Options
from tools.demo.prepare import CLUSTER, find_gpu_resource, find_obstacle, prepare_current, prepare_devcluster
from tools.demo.stages import stage
from tools.models import fetch_model
from tools.toolbox.cache import cache_root
from tools.toolbox.errors import ToolError
from tools.toolbox.progress import say, show_time

READY = {"CPU": 300, "GPU": 900}  # seconds; an emulated GPU compiles its kernels on the CPU


def up(options: Options) -> int:
    started = time.monotonic()
    work = cache_root() / "demo"
    work.mkdir(parents=True, exist_ok=True)
    with stage("Model: PP-OCRv4's text recogniser"):
        model = fetch_model("ppocr-rec")
        alphabet = read_alphabet(read_metadata(model, "character"))
        picture = draw(options.text, alphabet, work / "line.png")
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
    say(f"    a picture of your text is in {work / 'line.png'}")
    if options.cluster == "devcluster" and (reason := find_obstacle()):
        what = f"No cluster here ({reason}): the same InferenceService, served on this machine"
        with stage(what), local.serving(model, digest, options.device) as url:
            answer = ask(url, picture)
        show(options.text, decode(answer, alphabet), started)
        return 0
    if options.cluster == "current":
        access, runtime = prepare_current(), options.runtime_image
        operator, pods_image = options.operator_image, None
    else:
        access, images = prepare_devcluster(options.device, model, digest)
        operator, runtime, pods_image = images.operator, images.runtime, images.emulated
    install(access, operator, runtime, find_gpu_resource(access, options.device))
    with stage("Model: into the cluster", beat=True):
        upload(access, runtime, model, digest)
    wait_operator(access)
    with stage("InferenceService: applied, then waited for"):
        uri = manifests.make_model_uri()
        service = manifests.make_inference_service(uri, digest, options.device, pods_image)
        say(textwrap.indent(yaml.safe_dump(service, sort_keys=False, default_flow_style=None), "    "))
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
    if options.cluster == "devcluster" and platform.system() != "Linux":
        say("no cluster was brought up on this machine: nothing to take down")
        return 0
    if options.cluster == "devcluster":
        devcluster("--name", CLUSTER, "down")
        return 0
    access = Access()
    context = access.kubectl("config", "current-context").strip()
    with stage(f"What the demo installed goes from the current kube context, {context}", beat=True):
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
        f"That is what the model read ({verdict}), {reading.confidence:.1%} sure, {show_time(time.monotonic() - started)} from the start."
    )


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
    own = options.cluster == "devcluster"
    kubectl = f"{'tools/devcluster/devcluster run -- ' if own else ''}kubectl -n {NAMESPACE}"
    again = "" if own else f" CLUSTER=current IMAGE={options.image}"
    proxy = f"/api/v1/namespaces/{NAMESPACE}/services/{SERVICE}:http/proxy/v2/models/{SERVICE}"
    say(
        f"It ran on: {', '.join(service['status'].get('deviceNames', []))}\n\n$ kubectl -n {NAMESPACE} get vis"
    )
    print(access.kubectl("-n", NAMESPACE, "get", "vis"), end="", flush=True)
    lines = [
        "",
        "How to go on:",
        f'  make demo TEXT="any line of text"{again}',
        f"  make demo DEVICE={'CPU' if options.device == 'GPU' else 'GPU'}{again}",
        f"  {kubectl} describe vis {SERVICE}       # what it is asked to do, and what it does",
        f"  {kubectl} edit vis {SERVICE}           # change it, and see it rolled out",
        f"  {kubectl} get --raw {proxy}",
        f"  make demo-down{'' if own else ' CLUSTER=current'}",
    ]
    say("\n".join(lines))
