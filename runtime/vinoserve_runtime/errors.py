"""What goes wrong, typed: a model that can't be served, and an inference that fails."""

from vinoserve_api.conditions import FailureReason


class StartupError(Exception):
    """The model can't be served. `reason` is stable; `str()` is one line for people: what is wrong, what would be right."""

    def __init__(self, reason: FailureReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class InferenceError(Exception):
    """The engine failed an inference whose tensors were all right as far as the model's metadata can say."""
