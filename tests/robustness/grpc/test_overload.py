"""Four times as many calls as it can answer: the rest is refused, and what it can do, it still does."""

import grpc
import grpc.aio
import numpy as np
from tritonclient.grpc.service_pb2 import ModelInferRequest

from tests.robustness.rest.overload import GOODPUT, PLACES, QUEUE, Slow, flood, make_limits
from tests.runtime.grpc.serving import serving

X = ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4])
REQUEST = ModelInferRequest(
    model_name="m", inputs=[X], raw_input_contents=[np.float32([1, 2, 3, 4]).tobytes()]
).SerializeToString()


async def test_four_times_too_much() -> None:
    slow = Slow()
    with serving(slow.engine, make_limits()) as server:
        slow.queue_length = lambda: server.dataplane.queue_length
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.server.port}") as channel:
            infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

            async def ask() -> str:
                try:
                    await infer(REQUEST)
                except grpc.aio.AioRpcError as error:
                    return str(error.code().name)
                return "OK"

            capacity, goodput, answers = await flood(ask, "OK")
        assert set(answers) == {"OK", "RESOURCE_EXHAUSTED"}
        assert goodput >= GOODPUT * capacity
        assert slow.longest <= QUEUE
        assert slow.most <= PLACES
        assert (server.dataplane.in_flight, server.dataplane.queue_length) == (0, 0)
