"""Pictures that come in planes: whether the planes of a request fit together, before OpenVINO would read beyond one."""

from collections.abc import Sequence

import numpy as np

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
        check_planes(self._planes, self.inputs, tensors)
        return await self._inner.infer(tensors)


def check_planes(planes: Sequence[Planes], infos: Sequence[TensorInfo], tensors: Sequence[Array]) -> None:
    """Raises InvalidRequestError where the planes of a picture don't fit together."""
    for group in planes:
        shapes = [tensor.shape for tensor in tensors[group.inputs]]
        misfit = group.explain_misfit(shapes)
        if misfit is not None:
            number, why = misfit
            name = infos[group.first + number].name
            raise InvalidRequestError(
                f"{label('input', name)}: shape {list(shapes[number])} doesn't fit: {why}"
            )


def cut_planes(planes: Sequence[Planes], tensors: Sequence[Array]) -> list[Array]:
    """`tensors` of which each is large enough, cut so that the planes of a picture fit together."""
    cut = list(tensors)
    for group in planes:
        shapes = group.fit(tensors[group.first].shape)
        for at, shape in enumerate(shapes, start=group.first):
            cut[at] = np.ascontiguousarray(cut[at][tuple(slice(size) for size in shape)])
    return cut
