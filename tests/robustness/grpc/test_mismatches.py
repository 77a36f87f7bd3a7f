"""Whatever doesn't belong together is INVALID_ARGUMENT, and the details name the tensor."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tritonclient.grpc.service_pb2 import InferTensorContents, ModelInferRequest

from tests.robustness.rest.mismatches import Case, make_cases, make_engine
from tests.runtime.grpc.serving import Running, serving
from vinoserve_runtime.grpc.codec import CONTENTS


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving(make_engine()) as running:
        yield running
        assert running.dataplane.metrics.requests.keys() == {("grpc", "infer", "INVALID_ARGUMENT")}


def ask(server: Running, case: Case, raw: list[bytes], **contents: Any) -> None:
    item = ModelInferRequest.InferInputTensor(
        name=case.name, datatype=case.datatype, shape=case.shape, **contents
    )
    with pytest.raises(grpc.RpcError) as caught:
        server.stub.ModelInfer(
            ModelInferRequest(model_name="m", inputs=[item], raw_input_contents=raw), timeout=60
        )
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, str(case)
    assert caught.value.details().startswith(f'input "{case.name}"'), (str(case), caught.value.details())


def test_raw(server: Running) -> None:
    for case in make_cases():
        ask(server, case, [case.raw])


def test_typed(server: Running) -> None:
    for case in make_cases():
        field, wire = CONTENTS.get(case.datatype, CONTENTS["FP32"])
        value = {"O": b"", "b": False}.get(wire.kind, 0)
        ask(server, case, [], contents=InferTensorContents(**{field: [value] * len(case.values)}))
