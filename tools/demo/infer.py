"""One request of the Open Inference Protocol with the binary-tensor extension.

As a program (`python -m tools.demo.infer URL < picture > probabilities.npy`) it sends the picture: within the demo's
cluster only a process in its network can.
"""

import http.client
import io
import json
import sys
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from tools.demo.manifests import INPUT
from tools.demo.ocr import Picture
from tools.toolbox.errors import ToolError, run_main

HEADER_LENGTH = "Inference-Header-Content-Length"
TIMEOUT = 120  # seconds; the emulated GPU takes its time


def make_request(picture: Picture) -> tuple[dict[str, str], bytes]:
    """HTTP headers and body for one picture, u8 [height, width, 3]: JSON, then the bytes of the tensor."""
    tensor = {
        "name": INPUT,
        "datatype": "UINT8",
        "shape": [1, *picture.shape],
        "parameters": {"binary_data_size": picture.size},
    }
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(header))}
    return headers, header + picture.tobytes()


def read_reply(header_length: str | None, body: bytes) -> npt.NDArray[np.float32]:
    """The one output of a reply to `make_request`, f32 [steps, classes]. Raises ToolError."""
    if header_length is None:
        raise ToolError(f"the reply has no {HEADER_LENGTH}: the server doesn't know the binary extension")
    size = int(header_length)
    outputs = json.loads(body[:size])["outputs"]
    if len(outputs) != 1 or outputs[0]["datatype"] != "FP32" or outputs[0]["shape"][0] != 1:
        raise ToolError(f"expected one FP32 output of batch 1, got {outputs}")
    return np.frombuffer(body[size:], dtype="<f4").reshape(outputs[0]["shape"][1:])


def ask(url: str, picture: Picture) -> npt.NDArray[np.float32]:
    """Send the picture to a model's infer URL. Raises ToolError."""
    parts = urlsplit(url)
    headers, body = make_request(picture)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
    try:
        connection.request("POST", parts.path, body, headers)
        reply = connection.getresponse()
        answer = reply.read()
    except OSError as error:
        raise ToolError(f"{url}: {error}") from error
    finally:
        connection.close()
    if reply.status != http.client.OK:
        raise ToolError(f"{url}: {reply.status} {answer.decode(errors='replace')[:500]}")
    return read_reply(reply.getheader(HEADER_LENGTH), answer)


def main() -> int:
    picture = np.load(io.BytesIO(sys.stdin.buffer.read()))
    np.save(sys.stdout.buffer, ask(sys.argv[1], picture))
    return 0


if __name__ == "__main__":
    sys.exit(run_main("infer", main))
