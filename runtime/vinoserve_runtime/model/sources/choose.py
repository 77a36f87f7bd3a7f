"""Which of a repository's files make up a model, told from their names alone. Pure."""

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath
from typing import Final

_OTHER_FRAMEWORKS: Final = frozenset(
    {".safetensors", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".h5", ".keras", ".msgpack", ".ot"}
    | {".gguf", ".ggml", ".mlmodel", ".npz", ".npy", ".mar", ".nemo", ".engine", ".plan", ".tfevents"}
)
"""Weights that OpenVINO doesn't read, pickles among them: those are never fetched, let alone loaded."""
_NOT_MODELS: Final = frozenset(
    {".md", ".rst", ".py", ".ipynb", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".pdf", ".mp4", ".wav"}
)


def is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(path).parts)


def choose_files(paths: Iterable[str]) -> list[str]:
    """Everything but other frameworks' weights, documents and hidden files; of `.bin` those that weigh an IR.

    External data of ONNX may have any other name, so what is left isn't narrowed down further.
    """
    names = frozenset(paths)
    return sorted(name for name in names if _is_wanted(name, names))


def _is_wanted(name: str, names: Collection[str]) -> bool:
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    if is_hidden(name) or suffix in _OTHER_FRAMEWORKS or suffix in _NOT_MODELS:
        return False
    return suffix != ".bin" or str(path.with_suffix(".xml")) in names


def list_companions(path: str) -> tuple[str, ...]:
    """The names under which a model file's weights lie beside it, whether they are there or not."""
    file = PurePosixPath(path)
    match file.suffix:
        case ".xml":
            return (str(file.with_suffix(".bin")),)
        case ".onnx":
            return (f"{path}_data", f"{path}.data", str(file.with_suffix(".data")))
        case ".pdmodel":
            return (str(file.with_suffix(".pdiparams")),)
        case _:
            return ()
