"""What `spec.model.uri` may be."""

import re
from difflib import get_close_matches
from urllib.parse import unquote

from vinoserve_api.fields import cel_text, quoted
from vinoserve_api.rules.cel import CelRule

SCHEMES = ("file", "pvc", "https", "http", "hf", "s3", "gs", "az", "oci")
_STORES = ("s3", "gs", "az")
_FORMS = (
    "write hf://OWNER/NAME, s3://BUCKET/KEY, gs://BUCKET/KEY, az://CONTAINER/KEY, oci://REGISTRY/REPOSITORY:TAG, "
    "https://HOST/PATH, pvc://CLAIM/PATH or file:PATH"
)

_CLAIM = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_HOST = r"([A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*\.?|\[[0-9A-Fa-f:.]+\])"
_PORT = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"

_HUB_NAME = "[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9_])?"
_BUCKET = "[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"
#: what container runtimes take for a host: they read a plain word as a repository of Docker Hub
_REGISTRY = rf"({_HOST}:{_PORT}|localhost|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+|\[[0-9A-Fa-f:.]+\])"
_REPOSITORY = "[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
_TAG = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_IMAGE_DIGEST = "sha256:[0-9a-f]{64}"

NO_SPACES = "has white space, a control character or a backslash in it; write %20 for a space"
NO_PARENT = "has '..' in its path; write the path without it"
NO_USERINFO = "has a user or password in it; put them into a Secret and name it in spec.model.credentials"
HTTP_DIGEST = "http:// is not protected; write https://, or set spec.model.digest"
PVC_FORM = "pvc:// is followed by the name of a PersistentVolumeClaim: write pvc://CLAIM/PATH"
FILE_FORM = "file: names no host; write file:PATH or file:///PATH"
HTTPS_FORM = "names no host and file; write https://HOST/PATH or https://HOST:PORT/PATH"
NOT_ASCII = "has characters beyond ASCII in it; percent-encode them"
NO_FRAGMENT = "has '#' or '?' in it; write them as %23 and %3F where they belong to a name"
ENCODING = "has a '%' that two hexadecimal digits don't follow; write %25 for the sign itself"
HF_FORM = (
    "is no repository of the hub; write hf://OWNER/NAME, hf://OWNER/NAME@REVISION or hf://OWNER/NAME@REVISION/PATH "
    "(a slash in REVISION as %2F)"
)
BUCKET_FORM = (
    "names no bucket; write s3://BUCKET/KEY, gs://BUCKET/KEY or az://CONTAINER/KEY, the name in lower case"
)
OCI_FORM = (
    "is no image; write oci://REGISTRY/REPOSITORY:TAG or oci://REGISTRY/REPOSITORY@sha256:DIGEST, the registry with a dot "
    "or a port in its name, such as docker.io"
)
CREDENTIALS = "credentials are for what is fetched from another host: https://, hf://, s3://, gs://, az:// and oci://; remove them"

_FILE = r"^file:(/{0,1}|///)[^/?#]"
_HUB = rf"^hf://{_HUB_NAME}/{_HUB_NAME}(@[^/@]+)?(/.*)?$"
_STORE = rf"^(s3|gs|az)://{_BUCKET}(/.*)?$"
_OCI = rf"^oci://{_REGISTRY}/{_REPOSITORY}(:{_TAG}|(:{_TAG})?@{_IMAGE_DIGEST})$"
_HTTP = rf"^https?://{_HOST}(:{_PORT})?/[^?#]"

_OTHER_FORMS = {
    "hf": (_HUB, HF_FORM),
    "oci": (_OCI, OCI_FORM),
    **dict.fromkeys(_STORES, (_STORE, BUCKET_FORM)),
}
_WITH_CREDENTIALS = ("https", "http", "hf", *_STORES, "oci")


def check_uri(uri: str, *, digest: bool) -> str | None:
    """What is wrong with the uri, or None. `digest` is whether the model has one."""
    scheme, colon, rest = uri.partition(":")
    if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return f"{quoted(uri)} has no scheme; {_FORMS}"
    if scheme not in SCHEMES:
        return _explain_scheme(uri, scheme)
    if re.search(r"[\s\\\x00-\x20\x7f]|%(0[0-9a-fA-F]|1[0-9a-fA-F]|7[fF])", uri):
        return NO_SPACES
    if re.search(r"%(?![0-9A-Fa-f]{2})", uri):
        return ENCODING
    if _goes_up(rest):
        return NO_PARENT
    if scheme == "file":
        return _check_file(uri)
    if re.match(r"//[^/?#]*@", rest):
        return NO_USERINFO
    if scheme == "pvc":
        return _check_claim(rest)
    if scheme in ("https", "http"):
        return _check_http(uri, digest=digest)
    if re.search("[?#]", uri):
        return NO_FRAGMENT
    pattern, form = _OTHER_FORMS[scheme]
    return None if re.match(pattern, uri, re.DOTALL) else form


def takes_credentials(uri: str) -> bool:
    """Whether the model is fetched from somewhere that may want to know by whom."""
    return uri.partition(":")[0] in _WITH_CREDENTIALS


def _explain_scheme(uri: str, scheme: str) -> str:
    if scheme.lower() in SCHEMES:
        return f"schemes are lower case: write {scheme.lower()}{uri[len(scheme) :]}"
    close = get_close_matches(scheme.lower(), SCHEMES, n=1)
    hint = f"did you mean {close[0]}:{uri[len(scheme) + 1 :]}?" if close else _FORMS
    return f"models are not fetched by {quoted(scheme + ':')}; {hint}"


def _goes_up(text: str) -> bool:
    """Whether a segment is `..`, however often it is percent-encoded."""
    while True:
        if ".." in re.split(r"[/\\?#]", text):
            return True
        decoded = unquote(text)
        if decoded == text:
            return False
        text = decoded


def _check_file(uri: str) -> str | None:
    if re.search("[?#]", uri):
        return NO_FRAGMENT
    return None if re.match(_FILE, uri) else FILE_FORM


def _check_claim(rest: str) -> str | None:
    if re.search("[?#]", rest):
        return NO_FRAGMENT
    found = re.fullmatch(rf"//({_CLAIM})(/.*)?", rest)
    return None if found and len(found[1]) <= 253 else PVC_FORM


def _check_http(uri: str, *, digest: bool) -> str | None:
    if not uri.isascii():
        return NOT_ASCII
    if not re.match(_HTTP, uri):
        return HTTPS_FORM
    if "#" in uri:
        return "has a fragment (#…) in it, which names no file; remove it"
    return HTTP_DIGEST if uri.startswith("http:") and not digest else None


def _cel(rule: str, message: str) -> CelRule:
    return CelRule("spec.model.uri", rule, message)


def _unless(scheme: str, pattern: str) -> str:
    return f"!self.startsWith('{scheme}') || self.matches({cel_text(pattern)})"


_USERINFO = "self.matches('^[a-z]+://[^/?#]*@')"

CEL = (
    _cel(
        f"self.matches('^({'|'.join(SCHEMES)}):')",
        "is fetched by none of the schemes there are; " + _FORMS,
    ),
    _cel(
        "!self.matches(" + cel_text(r"[\s\\\x00-\x20\x7f]|%(0[0-9a-fA-F]|1[0-9a-fA-F]|7[fF])") + ")",
        NO_SPACES,
    ),
    _cel("!self.matches('%([^0-9A-Fa-f]|[0-9A-Fa-f][^0-9A-Fa-f]|.?$)')", ENCODING),
    _cel(
        "!self.matches('(^|[/:?#]|%(25)*2[fF])(\\\\.|%(25)*2[eE]){2}($|[/?#]|%(25)*(2[fF]|3[fF]|5[cC]))')",
        NO_PARENT,
    ),
    _cel(_unless("file:", _FILE), FILE_FORM),
    _cel(_unless("pvc:", rf"^pvc://{_CLAIM}($|/)"), PVC_FORM),
    _cel(f"!self.startsWith('hf:') || {_USERINFO} || self.matches({cel_text(_HUB)})", HF_FORM),
    _cel(
        f"!self.matches('^({'|'.join(_STORES)}):') || {_USERINFO} || self.matches({cel_text(_STORE)})",
        BUCKET_FORM,
    ),
    _cel(f"!self.startsWith('oci:') || {_USERINFO} || self.matches({cel_text(_OCI)})", OCI_FORM),
    _cel(f"!self.startsWith('http') || {_USERINFO} || self.matches({cel_text(_HTTP)})", HTTPS_FORM),
    _cel("!self.startsWith('http') || self.matches('^[\\x00-\\x7f]*$')", NOT_ASCII),
    _cel("self.startsWith('http') ? !self.contains('#') : !self.matches('[?#]')", NO_FRAGMENT),
    # On the model, because the API server quotes the value that a rule is on: here it holds a password.
    CelRule("spec.model", f"!{_USERINFO.replace('self', 'self.uri')}", NO_USERINFO, ".uri"),
    CelRule("spec.model", "!self.uri.startsWith('http:') || has(self.digest)", HTTP_DIGEST, ".uri"),
    CelRule(
        "spec.model",
        f"!has(self.credentials) || self.uri.matches('^({'|'.join(_WITH_CREDENTIALS)}):')",
        CREDENTIALS,
        ".credentials",
    ),
)
