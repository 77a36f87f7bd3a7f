"""Pictures that come in planes: whether the planes of a request fit together, before OpenVINO would read beyond one."""

from collections.abc import Sequence

from vinoserve_runtime.model.planes import Planes
from vinoserve_runtime.protocol.errors import InvalidRequestError
from vinoserve_runtime.protocol.signature import label
from vinoserve_runtime.tensors import Array, Engine, TensorInfo


class PlanesEngine:
    """An engine that refuses planes of different pictures. OpenVINO doesn't, and reads beyond the smaller one (measured)."""

    def __init__(self, inner: Engine, planes: Sequence[Planes]) -> None:
        self._inner = inner
        self._planes = planes

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        return self._inner.inputs

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        return self._inner.outputs

    @property
    def size(self) -> int:
        return self._inner.size

    async def infer(self, tensors: Sequence[Array]) -> Sequence[Array]:
        """See `tensors.Engine`."""
        for group in self._planes:
            shapes = [tensor.shape for tensor in tensors[group.first : group.first + group.count]]
            misfit = group.explain_misfit(shapes)
            if misfit is not None:
                number, why = misfit
                name = self.inputs[group.first + number].name
                raise InvalidRequestError(
                    f"{label('input', name)}: shape {list(shapes[number])} doesn't fit: {why}"
                )
        return await self._inner.infer(tensors)
