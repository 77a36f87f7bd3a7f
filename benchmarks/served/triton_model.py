"""Triton's Python backend: the requests that Triton hands over together are one inference where it batches, else one each."""

import json
import os
import sys

sys.path[:0] = os.environ["BENCH_PATH"].split(":")  # the backend's Python heeds no PYTHONPATH

import numpy as np
import triton_python_backend_utils as pb_utils
from compiled import Compiled


class TritonPythonModel:
    def initialize(self, args: dict) -> None:
        config = json.loads(args["model_config"])
        instances = int(config["instance_group"][0]["count"])
        alone = {"NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": 1} if instances > 1 else None
        self.compiled = Compiled(alone)
        self.batches = config["max_batch_size"] > 0

    def execute(self, requests: list) -> list:
        names = self.compiled.inputs
        given = [
            {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in names}
            for request in requests
        ]
        if not self.batches or len(given) == 1:
            return [respond(self.compiled.infer(tensors)) for tensors in given]
        rows = [len(tensors[names[0]]) for tensors in given]
        found = self.compiled.infer({name: np.concatenate([t[name] for t in given]) for name in names})
        ends = np.cumsum(rows)
        return [
            respond({name: array[end - count : end] for name, array in found.items()})
            for count, end in zip(rows, ends, strict=True)
        ]


def respond(found: dict) -> object:
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in found.items()])
