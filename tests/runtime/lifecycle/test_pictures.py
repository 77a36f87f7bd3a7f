"""Pictures from clients to the answer, through a whole runtime: REST in JSON and in binary, and gRPC."""

from base64 import b64encode
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tests.models import write_concat
from tests.runtime.pictures import encode, files, join_planes, split_planes
from tests.runtime.rest.process import serving_process

RNG = np.random.default_rng(9)
SPEC = [
    {
        "name": "photo",
        "shape": [1, 3, 4, 6],
        "layout": "NCHW",
        "client": {"encoding": "image", "colorFormat": "RGB"},
        "model": {"colorFormat": "BGR"},
    },
    {
        "name": "1",
        "shape": [1, 3, 4, 6],
        "layout": "NCHW",
        "client": {"elementType": "u8", "colorFormat": "NV12_TWO_PLANES", "shape": [1, -1, -1, 1]},
        "model": {"colorFormat": "BGR"},
        "resize": "nearest",
    },
]


def test_files_and_planes_over_rest_and_grpc(tmp_path: Path) -> None:
    write_concat(tmp_path / "m.xml", ["photo", "frame"], [-1, 3, -1, -1])
    photo = RNG.integers(0, 256, (4, 6, 3), np.uint8)
    y, uv = split_planes("NV12_TWO_PLANES", RNG, 1, 4, 6)
    wanted = np.stack([photo[..., ::-1], join_planes("NV12_TWO_PLANES", [y, uv], "BGR")[0]]).transpose(
        0, 3, 1, 2
    )
    model = {
        "uri": "file:m.xml",
        "inputs": SPEC,
        "outputs": [{"name": "y", "layout": "NHWC", "model": {"layout": "NCHW"}}],
    }
    wanted = wanted.transpose(0, 2, 3, 1)
    with serving_process(tmp_path, model=model, hints={"inferencePrecision": "f32"}) as served:
        tensors = [
            ("photo", "BYTES", [1], files(encode(photo))),
            ("frame/y", "UINT8", [1, 4, 6, 1], y),
            ("frame/uv", "UINT8", [1, 2, 3, 2], uv),
        ]
        url = f"http://{served.url}/v2/models/m"
        metadata = httpx.get(url).json()
        assert metadata["inputs"] == [
            {"name": "photo", "datatype": "BYTES", "shape": [1]},
            {"name": "frame/y", "datatype": "UINT8", "shape": [1, -1, -1, 1]},
            {"name": "frame/uv", "datatype": "UINT8", "shape": [1, -1, -1, 2]},
        ]
        assert metadata["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [2, 4, 6, 3]}]
        report = httpx.get(f"http://127.0.0.1:{served.admin_port}/report").json()
        assert report["model"]["inputs"] == metadata["inputs"]

        as_json = [
            {
                "name": name,
                "datatype": datatype,
                "shape": shape,
                "data": [b64encode(file).decode() for file in data] if datatype == "BYTES" else data.tolist(),
            }
            for name, datatype, shape, data in tensors
        ]
        answer = httpx.post(f"{url}/infer", json={"inputs": as_json}).json()
        np.testing.assert_allclose(np.reshape(answer["outputs"][0]["data"], wanted.shape), wanted, atol=1.01)

        for library, address in (
            (tritonclient.http, served.url),
            (tritonclient.grpc, f"127.0.0.1:{served.grpc_port}"),
        ):
            with library.InferenceServerClient(address) as client:
                inputs = [
                    library.InferInput(name, shape, datatype).set_data_from_numpy(data)
                    for name, datatype, shape, data in tensors
                ]
                got = client.infer("m", inputs).as_numpy("y")
                np.testing.assert_allclose(got, wanted, atol=1.01)
                inputs[0].set_data_from_numpy(files(b"GIF89a"))
                with pytest.raises(InferenceServerException) as caught:
                    client.infer("m", inputs)
                assert 'input "photo": element 0 is a GIF; send a JPEG or PNG file' in str(caught.value)
                assert caught.value.status() in {"400", "StatusCode.INVALID_ARGUMENT"}

        for wrong, words in (
            ({**as_json[0], "data": ["not base64!"]}, 'input "photo": data[0] is not base64'),
            ({**as_json[0], "data": [b64encode(encode(photo)[:50]).decode()]}, "element 0 can't be"),
            ({**as_json[0], "data": [b64encode(encode(photo[:2])).decode()]}, "element 0 is 2 x 6"),
        ):
            answer = httpx.post(f"{url}/infer", json={"inputs": [wrong, *as_json[1:]]})
            assert answer.status_code == 400
            assert words in answer.json()["error"]
        as_json[2] |= {"shape": [1, 1, 3, 2], "data": [0] * 6}
        answer = httpx.post(f"{url}/infer", json={"inputs": as_json})
        assert answer.status_code == 400
        assert 'input "frame/uv": shape [1, 1, 3, 2] doesn\'t fit' in answer.json()["error"]
