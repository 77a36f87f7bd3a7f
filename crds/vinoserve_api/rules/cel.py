"""Rules as the API server knows them: CEL in the CRD. Each stands beside the Python that says the same."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CelRule:
    """`at` is the field of the schema that carries the rule (`spec.model.inputs[]`: each item), `self` in it.

    Where the rule is false the user reads `message` or, where `computed`, what that CEL expression makes, on the field
    `field` below `at`.
    """

    at: str
    rule: str
    message: str
    field: str = ""
    computed: bool = False
