"""Which shapes a model's outputs have for inputs of given shapes, by OpenVINO's own shape inference."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from vinoserve_runtime.ov import ov
from vinoserve_runtime.ov_errors import explain
from vinoserve_runtime.protocol.errors import InvalidRequestError

ShapeTuple = tuple[int, ...]

_REMEMBERED: Final = 4096
"""Shapes of requests whose outputs' are remembered; one costs OpenVINO some milliseconds, more with larger graphs."""


class ShapeError(Exception):
    """The model doesn't take inputs of these shapes, or its outputs' shapes depend on what is in them."""


class TrueShapes:
    """`infer` may be called in any one thread, `of` on the event loop."""

    def __init__(self, model: Any, input_names: Sequence[str], output_names: Sequence[str]) -> None:
        """`model` is left as it is; the weights that it holds stay in memory."""
        self._model = model
        self._input_names, self._output_names = tuple(input_names), tuple(output_names)
        self._scratch: Any = None
        self._known: OrderedDict[tuple[ShapeTuple, ...], list[ShapeTuple] | str] = OrderedDict()
        self._asked: dict[tuple[ShapeTuple, ...], asyncio.Future[list[ShapeTuple] | str]] = {}
        self._worker = ThreadPoolExecutor(1, "shapes")

    def infer(self, shapes: Sequence[ShapeTuple]) -> list[ShapeTuple]:
        """The outputs' shapes. Raises ShapeError."""
        if self._scratch is None:
            self._scratch = self._model.clone()
        try:
            self._scratch.reshape({i: ov.PartialShape(list(shape)) for i, shape in enumerate(shapes)})
        except RuntimeError as error:
            self._scratch = None  # half reshaped
            raise ShapeError(f"the model can't be given this shape: {explain(error)}") from error
        outputs: list[ShapeTuple] = []
        for name, port in zip(self._output_names, self._scratch.outputs, strict=True):
            shape = port.get_partial_shape()
            if shape.is_dynamic:
                raise ShapeError(f"the shape of output {name!r} depends on what the inputs hold: {shape}")
            outputs.append(tuple(shape.to_shape()))
        return outputs

    async def of(self, shapes: tuple[ShapeTuple, ...]) -> list[ShapeTuple]:
        """The outputs' shapes, computed off the event loop, once for each. Raises InvalidRequestError."""
        answer = self._known.get(shapes)
        if answer is None:
            answer = await self._ask(shapes)
        else:
            self._known.move_to_end(shapes)
        if isinstance(answer, str):
            named = zip(self._input_names, shapes, strict=True)
            shown = ", ".join(f'input "{name}" {list(shape)}' for name, shape in named)
            raise InvalidRequestError(f"{shown}: {answer}")
        return answer

    async def _ask(self, shapes: tuple[ShapeTuple, ...]) -> list[ShapeTuple] | str:
        future = self._asked.get(shapes)
        if future is None:
            loop = asyncio.get_running_loop()
            future = self._asked[shapes] = loop.run_in_executor(self._worker, self._answer, shapes)
            future.add_done_callback(lambda done: self._remember(shapes, done))
        return await asyncio.shield(future)

    def _answer(self, shapes: tuple[ShapeTuple, ...]) -> list[ShapeTuple] | str:
        try:
            return self.infer(shapes)
        except ShapeError as error:
            return str(error)

    def _remember(
        self, shapes: tuple[ShapeTuple, ...], done: "asyncio.Future[list[ShapeTuple] | str]"
    ) -> None:
        del self._asked[shapes]
        self._known[shapes] = done.result()
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
