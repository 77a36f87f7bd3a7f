"""KServe's Python server with a model of its own class, as its documentation shows: kserve_server.py --http_port … --grpc_port …"""

import argparse

from compiled import Compiled
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server
from kserve.utils.utils import generate_uuid

NAMES = {"float32": "FP32", "float16": "FP16", "float64": "FP64", "bool": "BOOL"}


class OpenVinoModel(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.load()

    def load(self) -> bool:
        self.compiled = Compiled()
        self.ready = True
        return True

    async def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:  # noqa: ARG002
        found = await self.compiled.infer_async({i.name: i.as_numpy() for i in payload.inputs})
        outputs = []
        for name, array in found.items():
            datatype = NAMES.get(array.dtype.name, array.dtype.name.upper())
            output = InferOutput(name, list(array.shape), datatype)
            output.set_data_from_numpy(array, binary_data=payload.use_binary_outputs)
            outputs.append(output)
        return InferResponse(
            payload.id or generate_uuid(), self.name, outputs, use_binary_outputs=payload.use_binary_outputs
        )


if __name__ == "__main__":
    arguments, _ = argparse.ArgumentParser(parents=[model_server.parser]).parse_known_args()
    ModelServer().start([OpenVinoModel("m")])
