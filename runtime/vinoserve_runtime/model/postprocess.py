"""One entry of `spec.model.outputs` beside the output of the model that it is about."""

from typing import Any

from vinoserve_api.conditions import FailureReason
from vinoserve_api.v1alpha1 import Output
from vinoserve_runtime.errors import StartupError
from vinoserve_runtime.model.entry import layout_text
from vinoserve_runtime.model.reshape import show_shape
from vinoserve_runtime.ov import ov


class OutputEntry:
    """`number`: of the entry."""

    def __init__(self, number: int, entry: Output, port: Any) -> None:
        self.number = number
        self.entry = entry
        self.shape = port.get_partial_shape()
        self.is_text = port.get_element_type() == ov.Type.string
        self.layout = (entry.model and entry.model.layout) or layout_text(port.get_node().get_layout())

    def check(self) -> None:
        """Raises InvalidInput that names the field, what the model has, and what would be right."""
        layout = self.entry.layout
        if self.is_text and self.entry.element_type:
            self._refuse(
                "elementType", "the model's output is text (BYTES), which goes out as it is; leave it out"
            )
        if layout is None:
            return
        rank = self.shape.rank
        if rank.is_dynamic:
            self._refuse(
                "layout", "the model doesn't say how many dimensions this output has; leave layout out"
            )
        if not self.layout:
            self._refuse(
                "model.layout",
                f"missing, and the model's file doesn't say it: write what the model gives, {show_shape(self.shape)}, such as "
                f"{'NCHW' if rank.get_length() == 4 else '?' * rank.get_length()}",
            )
        if rank.get_length() != len(self.layout):
            self._refuse(
                "model.layout",
                f"{self.layout} has {len(self.layout)} letters, the model's output has {show_shape(self.shape)}",
            )
        if sorted(layout) != sorted(self.layout):
            self._refuse(
                "layout",
                f"{layout} has other dimensions than the model's {self.layout}; write the same letters",
            )

    def add_to(self, info: Any) -> None:
        if self.entry.layout:
            info.model().set_layout(ov.Layout(self.layout))
            info.tensor().set_layout(ov.Layout(self.entry.layout))
        if self.entry.element_type:
            info.tensor().set_element_type(getattr(ov.Type, self.entry.element_type))

    def _refuse(self, field: str, why: str) -> None:
        raise StartupError(FailureReason.INVALID_INPUT, f"spec.model.outputs[{self.number}].{field}: {why}")
