"""What every peer calls: the same OpenVINO model, compiled with the same hint as vinoserve compiles it."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov

Tensors = dict[str, np.ndarray]


class Compiled:
    """$BENCH_MODEL compiled on the CPU with the performance hint $BENCH_HINT.

    `infer` computes at once; `infer_async` lets a request run in OpenVINO's threads while the event loop goes on, as
    many at a time as OpenVINO asks for: the better way for models that take long.
    """

    def __init__(self, properties: Mapping[str, Any] | None = None) -> None:
        hint = os.environ["BENCH_HINT"]
        given = properties or {"PERFORMANCE_HINT": hint}
        self.model = ov.Core().compile_model(os.environ["BENCH_MODEL"], "CPU", dict(given))
        self.is_long = hint == "THROUGHPUT"
        self.inputs = [port.any_name for port in self.model.inputs]
        self.outputs = [port.any_name for port in self.model.outputs]
        self._request = self.model.create_infer_request()
        self._idle: asyncio.Queue[ov.InferRequest] | None = None

    def infer(self, tensors: Tensors) -> Tensors:
        results = self._request.infer(tensors, share_inputs=True)
        return {name: results[i] for i, name in enumerate(self.outputs)}

    async def infer_async(self, tensors: Tensors) -> Tensors:
        if not self.is_long:
            return self.infer(tensors)
        loop = asyncio.get_running_loop()
        if self._idle is None:
            self._idle = asyncio.Queue()
            for _ in range(self.model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")):
                self._idle.put_nowait(self.model.create_infer_request())
        request = await self._idle.get()
        try:
            done = loop.create_future()
            request.set_callback(lambda _: loop.call_soon_threadsafe(done.set_result, None), None)
            request.start_async(tensors, share_inputs=True)
            await done
            return {name: request.get_output_tensor(i).data.copy() for i, name in enumerate(self.outputs)}
        finally:
            self._idle.put_nowait(request)
