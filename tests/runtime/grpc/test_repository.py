"""Triton's model repository extension: the index tells the truth, load and unload are refused."""

import asyncio

import grpc
import pytest
from tritonclient.grpc.service_pb2 import RepositoryIndexRequest
from tritonclient.utils import InferenceServerException

from tests.runtime.grpc.serving import serving
from tests.runtime.rest.serving import make_adder


def test_the_index() -> None:
    with serving(None) as server:
        (model,) = server.triton.get_model_repository_index().models
        assert (model.name, model.version, model.state) == ("m", "1", "UNAVAILABLE")
        assert model.reason == "the model is not loaded"
        assert not server.stub.RepositoryIndex(RepositoryIndexRequest(ready=True)).models
        server.call(lambda: server.dataplane.attach(make_adder()))
        for ready in (False, True):
            (model,) = server.stub.RepositoryIndex(RepositoryIndexRequest(ready=ready)).models
            assert (model.name, model.version, model.state, model.reason) == ("m", "1", "READY", "")
        asyncio.run_coroutine_threadsafe(server.dataplane.drain(0), server.loop).result(60)
        (model,) = server.triton.get_model_repository_index().models
        assert (model.state, model.reason) == ("UNAVAILABLE", "the server is shutting down")


def test_there_is_one_repository() -> None:
    with serving(make_adder()) as server, pytest.raises(grpc.RpcError) as caught:
        server.stub.RepositoryIndex(RepositoryIndexRequest(repository_name="other"))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_models_are_not_loaded_or_unloaded() -> None:
    with serving(make_adder()) as server:
        for change in (server.triton.load_model, server.triton.unload_model):
            with pytest.raises(InferenceServerException, match=r"change spec\.model") as caught:
                change("m")
            assert caught.value.status() == "StatusCode.FAILED_PRECONDITION"
        assert server.triton.is_model_ready("m")
