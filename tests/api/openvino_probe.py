"""Asks the installed OpenVINO about properties and targets; a program of its own, so that a GPU can be emulated and nothing outlives it.

stdin: {"blocks": [block], "tries": [[device, key, value]], "targets": [target]}
last line of stdout: {"supported": {block: {key: mutability}}, "refused": [[device, key, value, why]],
"executions": {target: EXECUTION_DEVICES}}
"""

import json
import sys
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from vinoserve_api.properties import to_openvino


def main() -> None:
    asked = json.load(sys.stdin)
    core = ov.Core()
    parameter = ops.parameter([1, 4], np.float32)
    model = ov.Model([ops.relu(parameter)], [parameter])
    refused: list[list[Any]] = []
    for device, key, value in asked["tries"]:
        try:
            compiled = core.compile_model(model, device, {key: to_openvino(key, value)})
            compiled(np.zeros((1, 4), np.float32))
        except Exception as error:  # noqa: BLE001 whatever OpenVINO says is the answer
            refused.append([device, key, value, str(error).strip().splitlines()[-1]])
    supported = {
        block: {str(k): str(m) for k, m in core.get_property(block, "SUPPORTED_PROPERTIES").items()}
        for block in asked["blocks"]
    }
    executions = {}
    for target in asked["targets"]:
        compiled = core.compile_model(model, target)
        compiled(np.zeros((1, 4), np.float32))
        executions[target] = list(compiled.get_property("EXECUTION_DEVICES"))
    answer = {"supported": supported, "refused": refused, "executions": executions}
    sys.stdout.write("\n" + json.dumps(answer))


if __name__ == "__main__":
    main()
