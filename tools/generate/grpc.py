"""Python modules of the protocol's messages, from its .proto file."""

import tempfile
from pathlib import Path

from grpc_tools import protoc

FOLDER = "runtime/vinoserve_runtime/grpc"
_PROTO = "open_inference_grpc.proto"
_POOL = "_descriptor_pool.Default()"


def make_messages() -> dict[str, str]:
    """By path: the module and its types.

    The messages get a descriptor pool of their own: clients of other makes bring the same messages with them, and one pool
    refuses to have them twice.
    """
    source = Path(__file__).resolve().parents[2] / FOLDER
    with tempfile.TemporaryDirectory() as folder:
        options = [f"-I{source}", f"--python_out={folder}", f"--pyi_out={folder}"]
        if protoc.main(["protoc", *options, _PROTO]) != 0:
            raise RuntimeError(f"protoc refused {_PROTO}")
        texts = {path.name: path.read_text() for path in sorted(Path(folder).iterdir())}
    module = texts["open_inference_grpc_pb2.py"]
    if module.count(_POOL) != 1:
        raise RuntimeError(f"protoc's modules have changed: {_POOL} is not there once")
    texts["open_inference_grpc_pb2.py"] = module.replace(_POOL, "_descriptor_pool.DescriptorPool()")
    return {f"{FOLDER}/{name}": text for name, text in texts.items()}
