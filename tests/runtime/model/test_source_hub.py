"""Models of the hub: one commit, only what is needed, nothing written elsewhere, tokens kept."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.models import write_adder
from tests.runtime.model.fetching import failure, fetch, sha
from tests.runtime.model.file_server import FileServer, serving
from tests.runtime.model.hub_server import TOKEN, HubServer, Repository, serving_hub
from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model import download as download_module
from vinoserve_runtime.model import part as part_module

NAME = "OpenVINO/adder-ov"
BIG = bytes(range(251)) * 47_000


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No pauses, no token of whoever runs the tests, small ranges."""
    monkeypatch.setattr(download_module, "_make_pause", lambda *_: 0.0)
    monkeypatch.setattr(part_module, "CHUNK_BYTES", 2**20)
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))


@pytest.fixture
def ir(tmp_path: Path) -> dict[str, bytes]:
    model = write_adder(tmp_path / "openvino_model.xml")
    return {path.name: path.read_bytes() for path in (model, model.with_suffix(".bin"))}


@pytest.fixture
def repository(ir: dict[str, bytes]) -> Repository:
    others = {
        "README.md": b"# Adder",
        ".gitattributes": b"*.bin filter=lfs",
        "pytorch_model.bin": b"a pickle",
        "model.safetensors": b"weights of another framework",
        "config.json": b"{}",
    }
    made = Repository(large=frozenset({"openvino_model.bin"}))
    made.commit({**ir, **others})
    return made


@pytest.fixture
def hub(repository: Repository) -> Iterator[HubServer]:
    with serving_hub(HubServer({NAME: repository})) as running:
        yield running


@pytest.fixture
def secret(hub: HubServer) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url}


def test_a_repository_is_fetched_at_one_commit(
    tmp_path: Path, hub: HubServer, repository: Repository, secret: dict[str, str], ir: dict[str, bytes]
) -> None:
    fetched = fetch(tmp_path, f"hf://{NAME}", secret)
    root = Path(fetched.root)
    assert fetched.revision == repository.refs["main"]
    assert {path.name: path.read_bytes() for path in root.iterdir()} == {**ir, "config.json": b"{}"}
    assert Path(fetched.path).name == "openvino_model.xml"
    asked = [path for path, _ in hub.requests[1:]]
    assert all(repository.refs["main"] in path for path in asked)


def test_a_moved_branch_is_another_model(
    tmp_path: Path, hub: HubServer, repository: Repository, secret: dict[str, str]
) -> None:
    """Nothing of the old commit is gone on with, whatever was left of it."""
    old = repository.commit({"m.onnx": BIG})
    repository.large = frozenset({"m.onnx"})
    hub.content.statuses = [200] + [500] * 500
    failure(tmp_path, f"hf://{NAME}", secret)
    hub.content.statuses = []
    new = repository.commit({"m.onnx": BIG[::-1]})
    hub.content.content = BIG[::-1]
    fetched = fetch(tmp_path, f"hf://{NAME}", secret)
    assert old != new
    assert fetched.revision == new
    assert Path(fetched.path).read_bytes() == BIG[::-1]


def test_a_branch_that_moves_meanwhile_is_not_mixed(
    tmp_path: Path, repository: Repository, secret: dict[str, str]
) -> None:
    first = repository.commit({"m.onnx": BIG})

    def progress(*_: object) -> None:
        if repository.refs["main"] == first:
            repository.commit({"m.onnx": BIG[::-1]})

    fetched = fetch(tmp_path, f"hf://{NAME}", secret, progress=progress)
    assert fetched.revision == first
    assert Path(fetched.path).read_bytes() == BIG


@pytest.mark.parametrize("revision", ["v1", "refs%2Fpr%2F7", "commit"])
def test_a_revision_is_a_branch_a_tag_or_a_commit(
    tmp_path: Path, repository: Repository, secret: dict[str, str], ir: dict[str, bytes], revision: str
) -> None:
    commit = repository.commit(ir, ref=revision.replace("%2F", "/"))
    repository.commit({"other.txt": b"newer"})
    wanted = commit if revision == "commit" else revision
    assert fetch(tmp_path, f"hf://{NAME}@{wanted}", secret).revision == commit


@pytest.mark.parametrize("path", ["onnx/model.onnx", "onnx"])
def test_a_path_is_a_file_or_a_folder(
    tmp_path: Path, repository: Repository, secret: dict[str, str], path: str
) -> None:
    onnx = write_adder(tmp_path / "m.onnx").read_bytes()
    files = {
        "onnx/model.onnx": onnx,
        "onnx/model.onnx_data": b"external",
        "onnx-fp16/model.onnx": b"another",
        "model.onnx": b"a third",
    }
    repository.commit(files)
    fetched = fetch(tmp_path, f"hf://{NAME}@main/{path}", secret)
    assert Path(fetched.path).read_bytes() == onnx
    assert Path(fetched.path).with_name("model.onnx_data").read_bytes() == b"external"
    assert len(list(Path(fetched.path).parent.iterdir())) == 2


def test_a_large_file_comes_in_ranges_from_where_it_lies_without_the_token(
    tmp_path: Path, hub: HubServer, repository: Repository, secret: dict[str, str]
) -> None:
    repository.access = "private"
    repository.commit({"m.onnx": BIG})
    repository.large = frozenset({"m.onnx"})
    told: list[tuple[int, int | None]] = []
    fetched = fetch(
        tmp_path, f"hf://{NAME}", {**secret, "HF_TOKEN": TOKEN}, progress=lambda *at: told.append(at)
    )
    assert Path(fetched.path).read_bytes() == BIG
    assert (len(BIG), len(BIG)) in told
    assert len({headers["range"] for _, headers in hub.content.requests}) == len(BIG) // 2**20 + 1
    assert all("authorization" not in headers for _, headers in hub.content.requests)
    assert all(headers["authorization"] == f"Bearer {TOKEN}" for _, headers in hub.requests)


def test_a_hub_without_ranges_is_read_in_one_stream(
    tmp_path: Path, hub: HubServer, repository: Repository, secret: dict[str, str]
) -> None:
    repository.commit({"m.onnx": BIG})
    repository.large = frozenset({"m.onnx"})
    hub.content.ranges = False
    hub.content.cut_after = [len(BIG)] * 8 + [1_000_000]
    assert Path(fetch(tmp_path, f"hf://{NAME}", secret).path).read_bytes() == BIG


def test_what_is_no_hub_is_said(tmp_path: Path) -> None:
    with serving(FileServer(b"<html>welcome</html>")) as other:
        error = failure(tmp_path, f"hf://{NAME}", {"HF_ENDPOINT": other.url})
    assert error.reason == FailureReason.FETCH_FAILED
    assert "doesn't answer as a hub does" in str(error)


def test_bytes_that_are_not_what_the_hub_says_are_never_served(
    tmp_path: Path, hub: HubServer, repository: Repository, secret: dict[str, str]
) -> None:
    repository.commit({"m.onnx": BIG})
    repository.large = frozenset({"m.onnx"})
    hub.content.content = b"\1" + BIG[1:]
    error = failure(tmp_path, f"hf://{NAME}", secret)
    assert error.reason == FailureReason.DIGEST_MISMATCH
    assert sha(BIG) in str(error)
    assert not (tmp_path / "models/fetched.json").exists()


def test_a_digest_is_of_what_is_fetched(tmp_path: Path, secret: dict[str, str]) -> None:
    digest = fetch(tmp_path, f"hf://{NAME}", secret).digest
    (tmp_path / "models/fetched.json").unlink()
    assert fetch(tmp_path, f"hf://{NAME}", secret, digest=digest).digest == digest
    error = failure(tmp_path, f"hf://{NAME}", secret, digest=sha(b"other"))
    assert error.reason == FailureReason.DIGEST_MISMATCH


@pytest.mark.parametrize("access", ["private", "gated"])
@pytest.mark.parametrize("token", [None, "hf_wrong-canary"])
def test_who_is_not_let_in_is_told_what_would_help(
    *,
    tmp_path: Path,
    repository: Repository,
    secret: dict[str, str],
    access: str,
    token: str | None,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    repository.access = access
    error = failure(tmp_path, f"hf://{NAME}", {**secret, **({"HF_TOKEN": token} if token else {})})
    assert error.reason == FailureReason.ACCESS_DENIED
    assert "HF_TOKEN" in str(error)
    assert ("terms" in str(error)) == (access == "gated")
    assert "canary" not in str(error) + repr(error.__cause__) + caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (f"hf://{NAME}@v9", "no revision v9"),
        (f"hf://{NAME}@main/nowhere", "neither a file nor a folder nowhere"),
        (f"hf://{NAME}@main/nowhere.onnx", "neither a file nor a folder nowhere.onnx"),
        ("hf://OpenVINO/nothing", "no model OpenVINO/nothing"),
    ],
)
def test_what_is_not_there_is_said(tmp_path: Path, secret: dict[str, str], uri: str, said: str) -> None:
    error = failure(tmp_path, uri, {**secret, "HF_TOKEN": TOKEN})
    assert error.reason == FailureReason.MODEL_NOT_FOUND
    assert said in str(error)


def test_a_repository_of_other_frameworks_has_no_model(
    tmp_path: Path, repository: Repository, secret: dict[str, str]
) -> None:
    repository.commit({"pytorch_model.bin": b"a pickle", "README.md": b""})
    error = failure(tmp_path, f"hf://{NAME}", secret)
    assert error.reason == FailureReason.MODEL_NOT_FOUND
    assert "no file that OpenVINO could read" in str(error)


@pytest.mark.parametrize(
    "name", ["../../escaped.json", "/escaped.json", "a\\..\\escaped.json", "a/../../escaped.json"]
)
def test_no_file_name_leads_out(
    tmp_path: Path, repository: Repository, secret: dict[str, str], ir: dict[str, bytes], name: str
) -> None:
    repository.commit({**ir, name: b"{}"})
    with suppress(StartupError):
        fetch(tmp_path, f"hf://{NAME}", secret)
    assert not list(tmp_path.rglob("*escaped.json"))
    assert not Path("/escaped.json").exists()


def test_nobody_at_the_endpoint_is_soon_said(tmp_path: Path) -> None:
    error = failure(tmp_path, f"hf://{NAME}", {"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert error.reason == FailureReason.FETCH_FAILED
    assert "4 tries" in str(error)


ALONE = """
import sys
from pathlib import Path
from vinoserve_api.contract import ModelSource
from vinoserve_runtime.model.fetch import fetch_model

folder = Path(sys.argv[1])
fetch_model(ModelSource(uri=sys.argv[2], name="m", version="1"), model_dir=folder / "models", claim_dir=folder,
            credentials_dir=folder / "credentials")
print((folder / "models/fetched.json").read_text())
"""


def test_nothing_is_written_outside_and_no_home_is_needed(tmp_path: Path, hub: HubServer) -> None:
    """As in a pod: the token and the endpoint from the environment here, a home that isn't there, a silent terminal."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
    env |= {"HOME": "/nonexistent", "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path), f"hf://{NAME}"],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["revision"]
    assert TOKEN not in done.stdout
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"content", "fetched.json"}
    assert not any("telemetry" in path for path, _ in hub.requests)
