"""What an admin sets: environment variables with the prefix VINOSERVE_, which the chart fills from its values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vinoserve_operator.errors import SettingsError

_PREFIX = "VINOSERVE_"
_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def _split(value: object) -> object:
    return (
        tuple(part for part in value.replace(",", " ").split() if part) if isinstance(value, str) else value
    )


class Settings(BaseModel):
    """All of them have defaults that serve; read once, at start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str = Field("localhost/vinoserve-runtime:latest", min_length=1, description="Runtime image.")
    namespaces: Annotated[tuple[str, ...], BeforeValidator(_split)] = Field(
        (), description="Namespaces to watch, separated by commas; none: all of them."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    resync_seconds: float = Field(
        300,
        ge=10,
        description="How often everything is listed and looked at again; beyond two services a second, at that rate.",
    )
    workers: int = Field(64, ge=1, le=256, description="Objects that are reconciled at the same time.")
    report_seconds: float = Field(
        30, ge=1, description="How often the report of a settled pod is asked for; others every two seconds."
    )
    lease_name: str = "vinoserve-operator"
    lease_namespace: str | None = Field(None, description="Default: the operator's own namespace.")
    port: int = Field(8080, ge=0, le=65535, description="/livez, /readyz and /metrics; 0: any free port.")

    @classmethod
    def load(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment. Raises SettingsError that names every variable that is wrong."""
        known = {f"{_PREFIX}{name.upper()}": name for name in cls.model_fields}
        given = {field: environment[key] for key, field in known.items() if environment.get(key)}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise SettingsError(
                "; ".join(
                    f"{_PREFIX}{str(e['loc'][0]).upper()}: {e['msg']}, not {e['input']!r}"
                    for e in error.errors()
                )
            ) from None

    def find_lease_namespace(self) -> str:
        """Where the Lease is: the operator's own namespace, `default` where it runs outside of a cluster."""
        if self.lease_namespace:
            return self.lease_namespace
        return _OWN_NAMESPACE.read_text().strip() if _OWN_NAMESPACE.exists() else "default"
