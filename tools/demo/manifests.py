"""What the demo applies: pure."""

from typing import Any

from tools.demo.ocr import HEIGHT, WIDTH
from tools.models import MODELS as PACKAGED

NAMESPACE = "vinoserve-demo"
SERVICE = "ppocr"  # the InferenceService
MODELS = "models"  # the pod and Service that the model is fetched from
MODELS_PORT = 8080
MODELS_FOLDER = "/models"
MODEL_FILE = PACKAGED["ppocr-rec"].file_name
INPUT = "x"
RESTRICTED = "pod-security.kubernetes.io/enforce"


def make_namespace() -> dict[str, Any]:
    """Every pod in it has to pass the restricted Pod Security Standard."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {RESTRICTED: "restricted"}},
    }


def make_model_server(image: str) -> list[dict[str, Any]]:
    """A pod that serves files over HTTP, ready once it has the model, and its Service."""
    labels = {"app.kubernetes.io/name": MODELS}
    metadata = {"name": MODELS, "namespace": NAMESPACE, "labels": labels}
    container = {
        "name": "http",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "http.server", str(MODELS_PORT), "--directory", MODELS_FOLDER],
        "ports": [{"containerPort": MODELS_PORT}],
        "readinessProbe": {"httpGet": {"path": f"/{MODEL_FILE}", "port": MODELS_PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "models", "mountPath": MODELS_FOLDER}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "models", "emptyDir": {"sizeLimit": "64Mi"}}],
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": labels, "ports": [{"port": MODELS_PORT}]},
    }
    return [pod, service]


def make_model_uri() -> str:
    return f"http://{MODELS}.{NAMESPACE}.svc:{MODELS_PORT}/{MODEL_FILE}"


def make_inference_service(uri: str, digest: str, device: str, image: str | None) -> dict[str, Any]:
    """The recogniser with a fixed shape, taking pictures as they are: bytes, colours last. `image`: other than the default."""
    spec: dict[str, Any] = {
        "model": {
            "uri": uri,
            "digest": f"sha256:{digest}",
            "inputs": [
                {
                    "name": INPUT,
                    "shape": [1, 3, HEIGHT, WIDTH],
                    "layout": "NCHW",
                    "client": {"elementType": "u8", "layout": "NHWC", "colorFormat": "RGB"},
                    "model": {"colorFormat": "BGR"},
                    "mean": [127.5],
                    "scale": [127.5],
                }
            ],
        },
        "targetDevice": device,
        "hints": {"performanceMode": "LATENCY"},
    }
    if image:
        spec["podTemplate"] = {"image": image}
    return {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": SERVICE, "namespace": NAMESPACE},
        "spec": spec,
    }
