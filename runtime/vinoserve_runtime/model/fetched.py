"""`fetched.json`: what the fetch left in the model folder, for whoever serves it and for the next fetch."""

import json
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from vinoserve_api.conditions import FailureReason
from vinoserve_runtime.errors import StartupError

FILE_NAME: Final = "fetched.json"


class Fetched(BaseModel):
    """One fetched model. `digest` is of what the uri names, `content_digest` of what `path` and its siblings hold now."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )

    uri: str
    path: str
    """The model's file; of a SavedModel its saved_model.pb."""
    root: str
    """The file or folder that the uri names, after unpacking."""
    format: str
    digest: str
    revision: str | None = None
    """What exactly the uri led to: a commit, an ETag, a version."""
    content_digest: str
    size_bytes: int
    seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def model_path(self) -> Path:
        return Path(self.path)

    @property
    def folder(self) -> Path:
        """What may lie beside the model: the folder that the uri names, or the one that its file is in."""
        root = Path(self.root)
        return root if root.is_dir() else root.parent


def read_fetched(model_dir: Path) -> Fetched | None:
    """None where nothing was fetched, or not to the end."""
    try:
        return Fetched.model_validate_json((model_dir / FILE_NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def need_fetched(model_dir: Path, uri: str) -> Fetched:
    """What the init container fetched. Raises ModelNotFound."""
    fetched = read_fetched(model_dir)
    if fetched is None or fetched.uri != uri:
        raise StartupError(
            FailureReason.MODEL_NOT_FOUND,
            f"{model_dir / FILE_NAME} doesn't hold this model: run `vinoserve fetch` with the same configuration first",
        )
    return fetched


def write_fetched(model_dir: Path, fetched: Fetched) -> None:
    """Appears whole or not at all."""
    target = model_dir / FILE_NAME
    part = target.with_suffix(".part")
    part.write_text(json.dumps(fetched.model_dump(mode="json", by_alias=True), indent=2) + "\n")
    part.replace(target)
