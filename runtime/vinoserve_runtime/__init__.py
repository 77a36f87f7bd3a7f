"""The runtime: fetches, compiles and serves one model with OpenVINO, and says what it runs on."""

import os

from vinoserve_runtime import logs as logs

os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # OpenVINO computes: numpy's thread per core is a start's time lost
