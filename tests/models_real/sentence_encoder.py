"""all-MiniLM-L6-v2 as OpenVINO IR, built from its weights: a sentence encoder of six layers, and its words' numbers.

The graph is BERT's (post-norm, GELU), then the mean over the words that the mask keeps, of length 1.
"""

import json
import re
import string
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import openvino as ov
from openvino import opset15 as ops

LAYERS: Final = 6
HEADS: Final = 12
WIDTH: Final = 384
EPSILON: Final = 1e-12
INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")


def write_encoder(weights: Path, path: Path) -> Path:
    """`weights`: a .safetensors file. Inputs i64 [-1, -1]; output `sentence_embedding`, f32 [-1, 384]."""
    tensors = _read_safetensors(weights)
    inputs = [ops.parameter([-1, -1], ov.Type.i64, name=name) for name in INPUTS]
    for parameter, name in zip(inputs, INPUTS, strict=True):
        parameter.output(0).set_names({name})
    hidden = _encode(tensors, *inputs)
    kept = ops.unsqueeze(ops.convert(inputs[1], "f32"), np.int64(-1))
    summed = ops.reduce_sum(ops.multiply(hidden, kept), np.int64(1))
    mean = ops.divide(summed, ops.maximum(ops.reduce_sum(kept, np.int64(1)), np.float32(1e-9)))
    embedding = ops.normalize_l2(mean, np.array([1], np.int64), 1e-12, "max")
    embedding.output(0).set_names({"sentence_embedding"})
    ov.save_model(ov.Model([embedding], inputs, "sentence_encoder"), path, compress_to_fp16=False)
    return path


def tokenize(sentences: Sequence[str], vocabulary: Path) -> dict[str, np.ndarray]:
    """WordPiece of lower-cased English, padded to the longest; i64, by input's name."""
    numbers = {word: number for number, word in enumerate(vocabulary.read_text().splitlines())}
    rows = [
        [
            numbers["[CLS]"],
            *(n for word in _split(sentence) for n in _pieces(word, numbers)),
            numbers["[SEP]"],
        ]
        for sentence in sentences
    ]
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return dict(zip(INPUTS, (ids, mask, np.zeros_like(ids)), strict=True))


def _split(sentence: str) -> list[str]:
    return re.findall(rf"[{re.escape(string.punctuation)}]|\w+", sentence.lower())


def _pieces(word: str, numbers: Mapping[str, int]) -> list[int]:
    found: list[int] = []
    start = 0
    while start < len(word):
        prefix = "##" if start else ""
        end = next((end for end in range(len(word), start, -1) if prefix + word[start:end] in numbers), None)
        if end is None:
            return [numbers["[UNK]"]]
        found.append(numbers[prefix + word[start:end]])
        start = end
    return found


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Its f32 tensors: a length, a header in JSON, then the bytes."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    return {
        name: np.frombuffer(
            data, np.float32, int(np.prod(entry["shape"])), 8 + size + entry["data_offsets"][0]
        ).reshape(entry["shape"])
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }


def _encode(tensors: Mapping[str, np.ndarray], ids: Any, mask: Any, types: Any) -> Any:
    def linear(x: Any, name: str) -> Any:
        return ops.add(ops.matmul(x, tensors[f"{name}.weight"], False, True), tensors[f"{name}.bias"])

    def normalized(x: Any, name: str) -> Any:
        mvn = ops.mvn(x, np.array([-1], np.int64), True, EPSILON, "inside_sqrt")
        return ops.add(ops.multiply(mvn, tensors[f"{name}.weight"]), tensors[f"{name}.bias"])

    def heads(x: Any) -> Any:
        split = ops.reshape(x, np.array([0, 0, HEADS, WIDTH // HEADS], np.int64), special_zero=True)
        return ops.transpose(split, np.array([0, 2, 1, 3], np.int64))

    words = ops.gather(tensors["embeddings.word_embeddings.weight"], ids, np.int64(0))
    kinds = ops.gather(tensors["embeddings.token_type_embeddings.weight"], types, np.int64(0))
    length = ops.gather(ops.shape_of(ids), np.int64(1), np.int64(0))
    places = ops.gather(
        tensors["embeddings.position_embeddings.weight"],
        ops.range(np.int64(0), length, np.int64(1), "i64"),
        np.int64(0),
    )
    hidden = normalized(ops.add(ops.add(words, kinds), places), "embeddings.LayerNorm")
    kept = ops.unsqueeze(ops.convert(mask, "f32"), np.array([1, 2], np.int64))
    bias = ops.multiply(ops.subtract(np.float32(1), kept), np.float32(-1e9))
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        query, key, value = (
            heads(linear(hidden, f"{layer}.attention.self.{name}")) for name in ("query", "key", "value")
        )
        scores = ops.divide(ops.matmul(query, key, False, True), np.float32(np.sqrt(WIDTH // HEADS)))
        context = ops.matmul(ops.softmax(ops.add(scores, bias), -1), value, False, False)
        joined = ops.reshape(
            ops.transpose(context, np.array([0, 2, 1, 3], np.int64)),
            np.array([0, 0, WIDTH], np.int64),
            special_zero=True,
        )
        attended = linear(joined, f"{layer}.attention.output.dense")
        hidden = normalized(ops.add(hidden, attended), f"{layer}.attention.output.LayerNorm")
        wide = ops.gelu(linear(hidden, f"{layer}.intermediate.dense"), "erf")
        hidden = normalized(
            ops.add(hidden, linear(wide, f"{layer}.output.dense")), f"{layer}.output.LayerNorm"
        )
    return hidden
