"""The part of the Hugging Face Hub's HTTP API that huggingface_hub calls to find and read a model; large files lie elsewhere."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

from tests.runtime.model.file_server import FileServer, serving
from tests.runtime.model.loopback import answering

TOKEN = "hf_canary4711"
PAGE = 3
"""Entries of a tree that an answer holds: the hub's thousand would need as many files."""


@dataclass
class Repository:
    """`commits` are the files of each; `refs` are branches and tags."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    access: str = "public"
    """public, private or gated."""
    large: frozenset[str] = frozenset()
    """Files that are kept by LFS."""

    def commit(self, files: dict[str, bytes], ref: str = "main") -> str:
        number = hashlib.sha1(f"{len(self.commits)}{sorted(files)}".encode()).hexdigest()
        self.commits[number] = files
        self.refs[ref] = number
        return number


@dataclass
class HubServer:
    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    content: FileServer = field(default_factory=FileServer)
    """Where large files are redirected to; a lie about them is told here."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving_hub(hub: HubServer) -> Iterator[HubServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            hub.requests.append((self.path, headers))
            parts = urlsplit(self.path)
            api = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)", parts.path)
            file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", parts.path)
            name, revision = (api[1], api[3]) if api else (file[1], file[2]) if file else ("", "")
            repository = hub.repositories.get(name)
            if repository is None:
                self.refuse(401 if "authorization" not in headers else 404, "RepoNotFound")
            elif repository.access != "public" and headers.get("authorization") != f"Bearer {TOKEN}":
                gated = repository.access == "gated"
                self.refuse(403 if gated else 401, "GatedRepo" if gated else "RepoNotFound")
            else:
                commit = repository.refs.get(unquote(revision), unquote(revision))
                if commit not in repository.commits:
                    self.refuse(404, "RevisionNotFound")
                elif api and api[2] == "revision":
                    self.answer_json({"id": name, "modelId": name, "sha": commit})
                elif api:
                    start = int(parse_qs(parts.query).get("cursor", ["0"])[0])
                    self.answer_tree(repository, commit, start, parts.path)
                else:
                    assert file
                    self.answer_file(repository, commit, unquote(file[3]), headers)

        def answer_tree(self, repository: Repository, commit: str, start: int, path: str) -> None:
            files = sorted(repository.commits[commit].items())
            folders = sorted({name.rpartition("/")[0] for name, _ in files} - {""})
            entries = [
                *({"type": "directory", "path": folder, "oid": "0" * 40, "size": 0} for folder in folders),
                *(describe(name, content, repository) for name, content in files),
            ]
            more = start + PAGE
            link = f'<{hub.url}{path}?recursive=True&cursor={more}>; rel="next"'
            self.answer_json(entries[start:more], {"Link": link} if more < len(entries) else {})

        def answer_file(
            self, repository: Repository, commit: str, name: str, headers: dict[str, str]
        ) -> None:
            content = repository.commits[commit].get(name)
            if content is None:
                self.refuse(404, "EntryNotFound")
                return
            extra = {"X-Repo-Commit": commit, "ETag": f'"{describe(name, content, repository)["oid"]}"'}
            if name in repository.large:
                hub.content.content = hub.content.content or content
                self.answer(302, {**extra, "Location": f"{hub.content.url}/{name}"}, b"")
                return
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
            if wanted:
                start, stop = int(wanted[1]), min(int(wanted[2] or len(content)) + 1, len(content))
                extra["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
                self.answer(206, extra, content[start:stop])
            else:
                self.answer(200, extra, content)

        def answer_json(self, document: object, headers: dict[str, str] | None = None) -> None:
            self.answer(
                200, {"Content-Type": "application/json", **(headers or {})}, json.dumps(document).encode()
            )

        def refuse(self, status: int, code: str) -> None:
            self.answer(status, {"X-Error-Code": code, "X-Error-Message": code}, b"{}")

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with answering(Handler) as hub.port, serving(hub.content):
        yield hub


def describe(name: str, content: bytes, repository: Repository) -> dict[str, object]:
    """An entry of a tree."""
    entry: dict[str, object] = {
        "type": "file",
        "path": name,
        "size": len(content),
        "oid": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
    }
    if name in repository.large:
        entry["lfs"] = {
            "oid": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            "pointerSize": 134,
        }
    return entry
