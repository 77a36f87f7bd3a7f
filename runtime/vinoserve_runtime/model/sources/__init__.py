"""Where models are downloaded from: a module a scheme, each imported only by who fetches from it."""

from vinoserve_runtime.model.sources.access import Access
from vinoserve_runtime.model.sources.base import Source

SCHEMES = frozenset({"https", "http", "hf", "s3", "gs", "az", "oci"})


def open_source(uri: str, access: Access) -> Source:
    """`uri` has one of SCHEMES. Raises StartupError where credentials or endpoints can't be right."""
    scheme = uri.partition(":")[0]
    if scheme == "hf":
        from vinoserve_runtime.model.sources.hub import HubSource  # noqa: PLC0415

        return HubSource(uri, access)
    if scheme in ("s3", "gs", "az"):
        from vinoserve_runtime.model.sources.objects import ObjectSource  # noqa: PLC0415

        return ObjectSource(uri, access)
    if scheme == "oci":
        from vinoserve_runtime.model.sources.oci import OciSource  # noqa: PLC0415

        return OciSource(uri, access)
    from vinoserve_runtime.model.sources.https import HttpsSource  # noqa: PLC0415

    return HttpsSource(uri, access)
