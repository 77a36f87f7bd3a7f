"""kserve's own client, unmodified, against a server: `python -m tests.runtime.rest.kserve_client HOST:PORT binary|json`."""

import asyncio
import sys

import kserve
import numpy as np

from tests.runtime.rest.test_clients import EXPECTED, FLAG, HALF, A, B


async def main(address: str, *, binary: bool) -> None:
    client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2"))
    url = f"http://{address}"
    try:
        assert await client.is_server_live(url)
        assert await client.is_server_ready(url)
        assert await client.is_model_ready(url, "m")
        inputs = []
        for name, values, datatype in (
            ("a", A, "FP32"),
            ("b", B, "INT64"),
            ("flag", FLAG, "BOOL"),
            ("half", HALF, "FP16"),
        ):
            tensor = kserve.InferInput(name, list(values.shape), datatype)
            tensor.set_data_from_numpy(values, binary_data=binary or datatype == "FP16")
            inputs.append(tensor)
        request = kserve.InferRequest(
            model_name="m", infer_inputs=inputs, request_id="9", parameters={"binary_data_output": binary}
        )
        response = await client.infer(url, request, model_name="m")
        assert response.id == "9"
        for output in response.outputs:
            if output.name != "whole" or binary:
                np.testing.assert_array_equal(output.as_numpy(), EXPECTED[output.name])
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], binary=sys.argv[2] == "binary"))
