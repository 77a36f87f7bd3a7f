"""A folder's digest is what coreutils say it is."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vinoserve_runtime.model.digest import digest_path

COMMAND = r"find -L . -name '.?*' -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum -- | sha256sum"

NAMES = st.text("abcXYZ019_-. é", min_size=1, max_size=12).filter(
    lambda name: not name.startswith(".") and name != "-"  # which is standard input to sha256sum
)


@given(
    st.dictionaries(
        st.lists(NAMES, min_size=1, max_size=3).map(tuple), st.binary(max_size=40), min_size=1, max_size=6
    )
)
@settings(max_examples=25)
def test_a_folders_digest_can_be_made_with_a_shell(
    tmp_path_factory: pytest.TempPathFactory, files: dict[tuple[str, ...], bytes]
) -> None:
    root = tmp_path_factory.mktemp("folder")
    for parts, content in files.items():
        path = root.joinpath(*parts)
        if any(parent.is_file() for parent in path.parents) or path.is_dir():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / ".git").mkdir()
    (root / ".git/config").write_text("not part of it")
    shell = subprocess.run(["bash", "-c", COMMAND], cwd=root, capture_output=True, text=True, check=True)
    assert digest_path(root) == "sha256:" + shell.stdout.split()[0]


def test_a_files_digest_is_sha256sums_and_progress_is_told(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"x" * 3_000_000)
    told: list[tuple[int, int | None]] = []
    shell = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True)
    assert (
        digest_path(path, lambda done, total: told.append((done, total)))
        == "sha256:" + shell.stdout.split()[0]
    )
    assert told[-1] == (3_000_000, 3_000_000)
    assert len(told) > 1
