"""Addresses as they may be logged."""

from urllib.parse import urlsplit


def show_uri(uri: str) -> str:
    """A model's uri without secrets."""
    return show_url(uri) if uri.startswith(("http:", "https:")) else uri


def show_url(url: str) -> str:
    """Without query and userinfo: signed URLs carry secrets there."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"
