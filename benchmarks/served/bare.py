"""A bare OpenVINO process: the model compiled, one inference done; says so, and waits to be ended."""

import os
import signal

import numpy as np
from compiled import Compiled

compiled = Compiled()
with np.load(os.environ["BENCH_TENSORS"]) as tensors:
    compiled.infer({name: tensors[f"in:{name}"] for name in compiled.inputs})
print("ready", flush=True)  # noqa: T201
signal.pause()
