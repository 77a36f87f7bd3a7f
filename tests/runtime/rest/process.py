"""`vinoserve serve` in a process of its own, as a user starts it."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import yaml
from onnx import TensorProto, helper

from tests.runtime.rest.waiting import wait_for


@dataclass
class Served:
    process: "subprocess.Popen[bytes]"
    port: int
    grpc_port: int
    admin_port: int
    log: Path

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"


def write_model(folder: Path) -> Path:
    """In ONNX: `sum` = `a` + 1 (FP32 [n, 4]), `double` = 2 `b` (INT64), `not` = not `flag` (BOOL), `whole` = 2 `half` (FP16)."""
    nodes = [
        helper.make_node("Add", ["a", "one"], ["sum"]),
        helper.make_node("Add", ["b", "b"], ["double"]),
        helper.make_node("Not", ["flag"], ["not"]),
        helper.make_node("Add", ["half", "half"], ["whole"]),
    ]
    graph = helper.make_graph(
        nodes,
        "clients",
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 4]),
            helper.make_tensor_value_info("b", TensorProto.INT64, [2]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, [3]),
            helper.make_tensor_value_info("half", TensorProto.FLOAT16, [2]),
        ],
        [
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["n", 4]),
            helper.make_tensor_value_info("double", TensorProto.INT64, [2]),
            helper.make_tensor_value_info("not", TensorProto.BOOL, [3]),
            helper.make_tensor_value_info("whole", TensorProto.FLOAT16, [2]),
        ],
        [helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])],
    )
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@contextlib.contextmanager
def serving_process(folder: Path, **spec: Any) -> Iterator[Served]:
    """Serves `write_model`'s model as `m`; ends the process with SIGTERM where the test has not."""
    write_model(folder)
    manifest = folder / "m.yaml"
    body = {
        "apiVersion": "vinoserve.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "m"},
        "spec": {"model": {"uri": "file:model.onnx"}, **spec},
    }
    manifest.write_text(yaml.safe_dump(body))
    with serving_manifest(manifest, folder) as served:
        yield served


@contextlib.contextmanager
def serving_manifest(manifest: Path, folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Serves the InferenceService in a file; its log and its cache are in `folder`. `env`: added to this process's own."""
    log = folder / "serve.log"
    command = [sys.executable, "-m", "vinoserve_cli", "serve", str(manifest)]
    command += [
        "--http-port",
        "0",
        "--grpc-port",
        "0",
        "--admin-port",
        "0",
        "--cache-dir",
        str(folder / "cache"),
    ]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **(env or {})}) as process,
    ):
        try:
            wait_for(lambda: b" is ready on " in log.read_bytes() or process.poll() is not None, 300)
            text = log.read_text()
            assert process.poll() is None, text
            ports = [int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)/", text)]
            (grpc_port,) = re.findall(r"gRPC: 127\.0\.0\.1:(\d+),", text)
            yield Served(process, ports[0], int(grpc_port), ports[1], log)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(60)
