"""What the clients print, read; and what they are told."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.clients import (
    Client,
    find_percentile,
    make_whole_seconds,
    make_wrk_script,
    read_h2load,
    read_openloop,
    read_wrk,
)
from benchmarks.limits import make_shape, read_benchmark_app
from benchmarks.payloads import Payload, find_difference, make_frame, read_message
from benchmarks.programs import Programs

WRK = """Running 2s test @ http://127.0.0.1:8000/v2/models/m/infer
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.70ms  612.04us  12.18ms   90.11%
    Req/Sec     8.64k     0.98k   10.01k    75.00%
  17194 requests in 2.00s, 5.12MB read
Requests/sec:   8597.02
{"requests": 17194, "microseconds": 2000220, "bytes": 5368709, "failed": 4, "p50": 1699.0, "p99": 4896.0}"""

H2LOAD = """finished in 2.00s, 6766.00 req/s, 971.69KB/s
requests: 5 total, 9 started, 5 done, 4 succeeded, 1 failed, 1 errored, 2 timeout
status codes: 4 2xx, 0 3xx, 0 4xx, 1 5xx
traffic: 1.90MB (1990012) total, 172.02KB (176148) headers (space savings 91.64%), 2.23MB (2341920) data
"""

BENCHMARK_APP = """[ INFO ] Count:            {count} iterations
[ INFO ] Duration:         2000.50 ms
[ INFO ] Latency:
[ INFO ]    Median:        {median}
[ INFO ]    Average:       27.00 us
[ INFO ] Throughput:   30932.04 FPS
"""


def test_wrk_counts_failures_apart() -> None:
    found = read_wrk(WRK)
    assert (found.answers, found.failed) == (17190, 4)
    assert found.answers_per_second == pytest.approx(8594, abs=1)
    assert (found.p50_ms, found.p99_ms) == (1.699, 4.896)


def test_wrk_sends_the_bytes_of_a_file_with_the_headers() -> None:
    script = make_wrk_script(Payload("REST binary", {"Content-Type": "a/b"}, b""), Path("/somewhere/body"))
    assert 'io.open("/somewhere/body", "rb")' in script
    assert 'wrk.headers["Content-Type"] = "a/b"' in script


def test_h2load_s_percentiles_are_those_of_successes() -> None:
    log = [
        "1795393040883701\t200\t2000",
        "1795393040883702\t200\t1000",
        "1\t200\t4000",
        "1\t503\t9",
        "1\t200\t3000",
    ]
    found = read_h2load(H2LOAD, log, 2)
    assert (found.answers, found.failed, found.answers_per_second) == (4, 3, 2.0)
    assert (found.p50_ms, found.p99_ms) == (2.0, 4.0)


def test_a_client_that_says_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="h2load printed no summary"):
        read_h2load("Could not resolve", [], 1)
    with pytest.raises(ValueError, match="benchmark_app printed no count"):
        read_benchmark_app("")


def test_openloop_is_told_what_to_send(tmp_path: Path) -> None:
    client = Client(Programs(tmp_path / "programs"), tmp_path)
    rest = Payload("REST JSON", {"Content-Type": "a/b", "X": "y"}, b"{}")
    told = client.make_openloop(8000, rest, rate=50, connections=64, seconds=2)
    options = dict(zip(told[1::2], told[2::2], strict=True))
    assert options["-address"] == "127.0.0.1:8000"
    assert (options["-rate"], options["-connections"]) == ("50.000", "64")
    assert (options["-body"], options["-headers"]) == ("body", "Content-Type:a/b|X:y")
    grpc = client.make_openloop(8001, Payload("gRPC", {}, b""), rate=50, connections=4, seconds=2)
    assert grpc[-3:] == ["-grpc", "-body", "message"]


def test_a_server_that_falls_behind_takes_longer_than_the_requests_were_due() -> None:
    output = '{"answered": 300, "failed": 2, "seconds": 2, "took_seconds": 3, "p50_ms": 1, "p99_ms": 900.5}'
    found = read_openloop(output)
    assert (found.answers_per_second, found.failed, found.p99_ms) == (100, 2, 900.5)


@pytest.mark.parametrize(("median", "expected"), [("7.17 us", 0.00717), ("8.08 ms", 8.08)])
def test_benchmark_app_says_micro_or_milliseconds(median: str, expected: float) -> None:
    rate, found = read_benchmark_app(BENCHMARK_APP.format(count=4001, median=median))
    assert rate == pytest.approx(2000)
    assert found == pytest.approx(expected)


def test_a_dynamic_batch_gets_the_rows_that_are_asked_for() -> None:
    assert make_shape((1, 512), (-1, 512), 32) == (32, 512)
    assert make_shape((1, 3, 224), (1, 3, -1), 32) == (1, 3, 224)


def test_percentiles_and_whole_seconds() -> None:
    assert [find_percentile([1, 2, 3, 4], share) for share in (0.01, 0.5, 0.51, 0.99)] == [1, 2, 3, 4]
    assert np.isnan(find_percentile([], 0.5))
    assert [make_whole_seconds(seconds) for seconds in (0.2, 1.4, 2)] == [1, 1, 2]


def test_answers_are_looked_at_before_anything_is_timed() -> None:
    right = {"y": np.array([[1.0, 2.0]], np.float32)}
    assert find_difference({"y": np.array([[1.0, 2.001]], np.float32)}, right) is None
    assert find_difference({"y": np.array([[1.0, 3.0]], np.float32)}, right) == "y is wrong"
    assert find_difference({"y": np.array([1.0, 2.0])}, right) == "y has the shape (2,), not (1, 2)"
    assert find_difference({}, right) == "outputs [], not ['y']"


def test_grpc_messages_are_framed_and_typed_contents_read() -> None:
    from tritonclient.grpc import service_pb2  # noqa: PLC0415 - takes a while

    assert make_frame(b"abc") == b"\0\0\0\0\3abc"
    answer = service_pb2.ModelInferResponse(model_name="m")
    output = answer.outputs.add(name="y", datatype="FP32", shape=[1, 2])
    output.contents.fp32_contents.extend([1.5, 2.5])
    assert read_message(answer.SerializeToString())["y"].tolist() == [[1.5, 2.5]]
