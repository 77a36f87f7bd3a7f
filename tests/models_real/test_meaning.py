"""That the real models are themselves, and not merely equal to what was made of them."""

from pathlib import Path

import numpy as np
import openvino as ov

from tests.models_real import cases
from tools.demo.flow import read_metadata
from tools.demo.ocr import decode, read_alphabet
from tools.models import fetch_model


def run(path: Path, inputs: cases.Tensors) -> dict[str, np.ndarray]:
    compiled = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {
        name: np.array(result)
        for port, result in compiled(inputs).items()
        for name in sorted(port.get_names())
    }


def test_the_encoder_puts_what_means_the_same_together() -> None:
    embedding = run(cases.encoder() / "encoder.xml", cases.words())["sentence_embedding"]
    likeness = embedding @ embedding.T
    np.testing.assert_allclose(np.diag(likeness), 1, atol=1e-5)
    eating, guitar = likeness[0, 1], likeness[0, 2]
    assert eating > 0.8
    assert guitar < 0.2


def test_the_pitch_of_a_tone_is_heard() -> None:
    notes = run(fetch_model("pitch-savedmodel"), {"input_2": cases.tone()})["note"]
    assert notes[0].mean(axis=0).argmax() == 69 - 21  # the A above middle C; the lowest key is MIDI's 21


def test_a_line_of_text_is_read_by_the_onnx_and_the_paddle_model_alike() -> None:
    onnx = fetch_model("ppocr-rec")
    alphabet = read_alphabet(read_metadata(onnx, "character"))
    for path in (onnx, fetch_model("ppocr-rec-paddle") / "inference.pdmodel"):
        (probabilities,) = run(path, cases.rec()).values()
        assert decode(probabilities[0], alphabet).text == cases.LINE
