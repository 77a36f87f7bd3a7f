"""The GPU drivers' own word, from OpenCL: their version, which OpenVINO tells of no device before it has compiled for it."""

import ctypes
from functools import cache
from typing import Any, Final

_GPU: Final = 1 << 2
_VENDOR_ID: Final = 0x1001
_NAME: Final = 0x102B
_DRIVER_VERSION: Final = 0x102D
_INTEL: Final = 0x8086


@cache
def read_driver_versions() -> tuple[tuple[str, str], ...]:
    """The name and the driver's version of each Intel GPU, in OpenCL's order; empty where there is no OpenCL, or no GPU."""
    try:
        cl = ctypes.CDLL("libOpenCL.so.1")
    except OSError:
        return ()
    return tuple(
        (_read_text(cl, device, _NAME), _read_text(cl, device, _DRIVER_VERSION))
        for platform in _list(cl.clGetPlatformIDs)
        for device in _list(cl.clGetDeviceIDs, platform, ctypes.c_uint64(_GPU))
        if _read_number(cl, device, _VENDOR_ID) == _INTEL
    )


def _list(call: Any, *arguments: Any) -> list[ctypes.c_void_p]:
    count = ctypes.c_uint32()
    if call(*arguments, 0, None, ctypes.byref(count)) != 0 or count.value == 0:
        return []
    found = (ctypes.c_void_p * count.value)()
    return [ctypes.c_void_p(one) for one in found] if call(*arguments, count, found, None) == 0 else []


def _read_text(cl: Any, device: ctypes.c_void_p, what: int) -> str:
    text = ctypes.create_string_buffer(256)
    done = cl.clGetDeviceInfo(device, what, ctypes.c_size_t(len(text)), text, None)
    return text.value.decode(errors="replace").strip() if done == 0 else ""


def _read_number(cl: Any, device: ctypes.c_void_p, what: int) -> int:
    number = ctypes.c_uint32()
    done = cl.clGetDeviceInfo(
        device, what, ctypes.c_size_t(ctypes.sizeof(number)), ctypes.byref(number), None
    )
    return number.value if done == 0 else 0
