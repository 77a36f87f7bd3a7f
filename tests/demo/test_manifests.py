"""What the demo applies is valid, and would be admitted where Pod Security is restricted."""

import kubernetes_validate
import pytest

from tests.pod_security import find_violations
from tools.demo import manifests
from vinoserve_api.rules import check_service
from vinoserve_api.v1alpha1 import InferenceService

DIGEST = "0" * 64


@pytest.mark.parametrize("uri", [manifests.make_model_uri(), "file:/tmp/model.onnx"])
@pytest.mark.parametrize("device", ["CPU", "GPU"])
@pytest.mark.parametrize("image", [None, "localhost/vinoserve-runtime-gpu-emulated:0.1.0"])
def test_the_service_is_valid(uri: str, device: str, image: str | None) -> None:
    service = InferenceService.load(manifests.make_inference_service(uri, DIGEST, device, image))
    assert not check_service(service)
    assert service.spec.target_device == device
    assert service.spec.pod_template.image == image


def test_the_model_server() -> None:
    pod, service = manifests.make_model_server("localhost/vinoserve-runtime:0.1.0")
    for document in (pod, service, manifests.make_namespace()):
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    assert not find_violations(pod["spec"])
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    host, _, path = manifests.make_model_uri().removeprefix("http://").partition("/")
    assert (
        host
        == f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc:{service['spec']['ports'][0]['port']}"
    )
    assert pod["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"] == f"/{path}"
