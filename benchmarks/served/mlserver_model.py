"""MLServer's custom runtime, as its documentation shows it. With `BENCH_BATCH` requests come together along the first dimension."""

from compiled import Compiled
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OpenVinoModel(MLModel):
    async def load(self) -> bool:
        self.compiled = Compiled()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        tensors = {given.name: NumpyCodec.decode_input(given) for given in payload.inputs}
        found = await self.compiled.infer_async(tensors)
        outputs = [NumpyCodec.encode_output(name, array) for name, array in found.items()]
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=outputs)
