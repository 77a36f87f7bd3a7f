"""What is made once is made whole; what is missing is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.devcluster.golang import find_go, read_version
from tools.toolbox.cache import cache_root, make_key, make_once
from tools.toolbox.errors import ToolError, run_main
from tools.toolbox.programs import need, run
from tools.toolbox.progress import show_time
from tools.toolbox.steps import Step, make_missing


def test_an_interrupted_step_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    dest = tmp_path / "made"

    def fill(path: Path) -> None:
        path.mkdir()
        (path / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_once(dest, fill)
    assert [p.name for p in tmp_path.iterdir()] == [".lock"]
    make_once(dest, Path.touch)
    make_once(dest, fill)
    assert dest.is_file(), "what is there is not made again"


def test_only_what_is_missing_is_made(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made: list[str] = []

    def step(name: str) -> Step:
        return Step(tmp_path / name, name, 0, lambda path: made.append(name) or path.touch())  # type: ignore[func-returns-value]

    (tmp_path / "b").touch()
    make_missing([step("a"), step("b"), step("c"), step("c")])
    assert made == ["a", "c"]
    assert "[1/2] a" in capfd.readouterr().err


def test_the_key_tells_contents_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = make_key(tmp_path, "x")
    assert make_key(tmp_path, "x") == before
    assert make_key(tmp_path, "y") != before
    (tmp_path / "a").rename(tmp_path / "b")
    assert make_key(tmp_path, "x") != before


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"VINOSERVE_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/vinoserve"),
        ({"HOME": "/home/x"}, "/home/x/.cache/vinoserve"),
    ],
)
def test_the_cache_folder(env: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VINOSERVE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert cache_root() == Path(expected)


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolError, match=r"unshare, ip not found.*util-linux iproute2"):
        need("unshare", "ip")


def test_a_failed_program_shows_its_last_words(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        run(["sh", "-c", "echo why >&2; exit 3"])
        return 0

    assert run_main("tool", main) == 1
    assert capsys.readouterr().err == "tool: `sh -c echo why >&2; exit 3` failed (3):\n  why\n"


def test_versions_and_times() -> None:
    assert read_version("go1.26.8\n") == (1, 26, 8)
    assert read_version("go1.27") == (1, 27, 0)
    assert (show_time(45), show_time(290)) == ("45 s", "4 min 50 s")


@pytest.fixture
def fake_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """A `go` of a version, on PATH or beside this Python."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    monkeypatch.setattr("sys.executable", str(tmp_path / "venv/python"))

    def make(place: str, version: str) -> Path:
        go = tmp_path / place / "go"
        go.parent.mkdir()
        go.write_text(f"#!/bin/sh\necho go{version}\n")
        go.chmod(0o755)
        return go

    return make


@pytest.mark.parametrize(
    ("on_path", "in_venv", "chosen", "toolchain"),
    [
        ("1.26.9", "1.26.6", "path", "local"),
        ("1.27.0", "1.26.8", "venv", "local"),
        ("1.22.1", "1.26.6", "path", "go1.26.8"),
        ("1.19.8", "1.26.6", "venv", "go1.26.8"),
    ],
)
def test_the_compiler_that_fits_is_chosen(
    fake_go: Callable[[str, str], Path], on_path: str, in_venv: str, chosen: str, toolchain: str
) -> None:
    made = {"path": fake_go("path", on_path), "venv": fake_go("venv", in_venv)}
    go, env = find_go()
    assert go == str(made[chosen])
    assert env["GOTOOLCHAIN"] == toolchain


def test_a_compiler_too_old_is_named(fake_go: Callable[[str, str], Path]) -> None:
    fake_go("path", "1.19.8")
    with pytest.raises(ToolError, match=r"go is 1\.19\.8: run `make setup`"):
        find_go()
