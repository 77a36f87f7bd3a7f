"""Python modules of the gRPC services' messages, from their .proto files."""

import tempfile
from pathlib import Path

from grpc_tools import protoc

FOLDER = "runtime/vinoserve_runtime/grpc"
_PROTOS = ("health", "open_inference_grpc", "reflection")
_POOL = "_descriptor_pool.Default()"


def make_messages() -> dict[str, str]:
    """By path: the modules and their types.

    The messages get descriptor pools of their own: clients of other makes bring the same messages with them, and one pool
    refuses to have them twice.
    """
    source = Path(__file__).resolve().parents[2] / FOLDER
    with tempfile.TemporaryDirectory() as folder:
        options = [f"-I{source}", f"--python_out={folder}", f"--pyi_out={folder}"]
        if protoc.main(["protoc", *options, *(f"{name}.proto" for name in _PROTOS)]) != 0:
            raise RuntimeError(f"protoc refused one of {', '.join(_PROTOS)}")
        texts = {path.name: path.read_text() for path in sorted(Path(folder).iterdir())}
    for name in _PROTOS:
        module = texts[f"{name}_pb2.py"]
        if module.count(_POOL) != 1:
            raise RuntimeError(f"protoc's modules have changed: {_POOL} is not there once")
        texts[f"{name}_pb2.py"] = module.replace(_POOL, "_descriptor_pool.DescriptorPool()")
    return {f"{FOLDER}/{name}": text for name, text in texts.items()}
