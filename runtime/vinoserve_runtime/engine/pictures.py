"""What stands between clients who send pictures and an engine that takes tensors."""

from vinoserve_runtime.engine.planes import PlanesEngine
from vinoserve_runtime.model.prepare import PreparedModel
from vinoserve_runtime.tensors import Engine


def take_pictures(engine: Engine, prepared: PreparedModel, max_pixels: int) -> Engine:
    """`engine` for clients who send what the spec says: planes that fit, and files; `engine` itself where they send neither."""
    if any(-1 in engine.inputs[group.first].shape for group in prepared.planes):
        engine = PlanesEngine(engine, prepared.planes)
    if prepared.encoded:
        from vinoserve_runtime.engine.images import ImagesEngine  # noqa: PLC0415  only those who decode pay for it

        engine = ImagesEngine(engine, prepared.encoded, max_pixels)
    return engine
