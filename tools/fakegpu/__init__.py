"""OpenVINO's real GPU plugin where there is no GPU: it runs on an emulated one. See README.md."""

from tools.fakegpu.environment import environment

__all__ = ["environment"]
