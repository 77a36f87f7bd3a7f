"""A released model leaves the GPU's memory, which is the process' own here."""

import time
from pathlib import Path

import pytest

from tests.runtime.configs import make_config
from tests.runtime.lifecycle.heavy import SIZE, WEIGHTS, resident, until_released, write_heavy
from tests.runtime.lifecycle.process import running

pytestmark = [pytest.mark.gpu_emulated, pytest.mark.timeout(600)]


@pytest.mark.parametrize("target", ["GPU", "AUTO:GPU,CPU"])
def test_the_allocations_go_and_come_back(
    one_gpu: dict[str, str], tmp_path: Path, ports: tuple[int, int], target: str
) -> None:
    config = make_config(
        write_heavy(tmp_path / "m.xml"), targetDevice=target, onFallback="Fail", releaseAfterSeconds=2
    )
    with running(config, tmp_path, ports=ports, env=one_gpu) as runtime:
        runtime.until_ready(300)
        x = ([1, SIZE], [1.0] * SIZE)
        before = runtime.infer(x=x).json()["outputs"]
        loaded = resident(runtime)
        until_released(runtime)
        deadline = time.monotonic() + 60
        while resident(runtime) > loaded - WEIGHTS / 2 * 0.8:  # in f16
            assert time.monotonic() < deadline, (loaded, resident(runtime))
            time.sleep(0.05)
        assert runtime.report().execution_devices == ("GPU.0",), "the last truth"
        assert runtime.infer(x=x).json()["outputs"] == before
        report = runtime.report()
        assert report.idle is not None
        assert (report.idle.reloads, report.idle.cache_hit) == (1, True)
        assert report.on_requested_device
