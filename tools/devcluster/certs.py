"""The cluster's certificate authority, its certificates and a kubeconfig for each client: by openssl, for ten years."""

import base64
import json
from pathlib import Path

from tools.devcluster.layout import API_PORT, NODE, NODE_IP, SERVICE_IP, Cluster
from tools.toolbox.programs import run

DAYS = "3650"
API_NAMES = (
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,"
    f"IP:127.0.0.1,IP:{SERVICE_IP},IP:{NODE_IP}"
)
#: file name -> (subject, names the certificate is for)
CERTIFICATES = {
    "apiserver": ("/CN=kube-apiserver", API_NAMES),
    "admin": ("/O=system:masters/CN=admin", ""),
    "controller-manager": ("/CN=system:kube-controller-manager", ""),
    "scheduler": ("/CN=system:kube-scheduler", ""),
    "proxy": ("/CN=system:kube-proxy", ""),
    "coredns": ("/CN=system:coredns", ""),
    "front-proxy": ("/CN=front-proxy-client", ""),
    "kubelet": (f"/O=system:nodes/CN=system:node:{NODE}", f"DNS:{NODE},IP:{NODE_IP}"),
}


def write_certificates(cluster: Cluster) -> None:
    """Everything below `pki/`: ca, service-account keys, one key, certificate and kubeconfig for each client."""
    pki = cluster.pki
    pki.mkdir(mode=0o700)
    write_key(pki / "ca.key")
    run(
        [
            *("openssl", "req", "-x509", "-new", "-key", "ca.key", "-out", "ca.crt", "-days", DAYS),
            *("-subj", f"/CN={cluster.name}-ca"),
            *("-addext", "basicConstraints=critical,CA:TRUE"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        ],
        cwd=pki,
    )
    for name, (subject, names) in CERTIFICATES.items():
        write_key(pki / f"{name}.key")
        (pki / f"{name}.ext").write_text(make_extensions(names))
        run(
            ["openssl", "req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr"],
            cwd=pki,
        )
        run(
            [
                *(
                    "openssl",
                    "x509",
                    "-req",
                    "-in",
                    f"{name}.csr",
                    "-CA",
                    "ca.crt",
                    "-CAkey",
                    "ca.key",
                    "-CAcreateserial",
                ),
                *("-days", DAYS, "-extfile", f"{name}.ext", "-out", f"{name}.crt"),
            ],
            cwd=pki,
        )
        (pki / f"{name}.kubeconfig").write_text(make_kubeconfig(cluster, name))
    write_key(pki / "sa.key")
    run(["openssl", "pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub"], cwd=pki)


def write_key(path: Path) -> None:
    run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path])


def make_extensions(names: str) -> str:
    lines = [
        "basicConstraints=CA:FALSE",
        "keyUsage=digitalSignature",
        "extendedKeyUsage=serverAuth,clientAuth",
    ]
    return "\n".join(lines + ([f"subjectAltName={names}"] if names else [])) + "\n"


def make_kubeconfig(cluster: Cluster, user: str) -> str:
    """A kubeconfig (JSON is YAML) that carries its certificates, so it can be copied anywhere."""

    def data(file: str) -> str:
        return base64.b64encode((cluster.pki / file).read_bytes()).decode()

    name = f"devcluster-{cluster.name}"
    server = {"server": f"https://127.0.0.1:{API_PORT}", "certificate-authority-data": data("ca.crt")}
    client = {"client-certificate-data": data(f"{user}.crt"), "client-key-data": data(f"{user}.key")}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": server}],
            "users": [{"name": user, "user": client}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
            "current-context": name,
        },
        indent=1,
    )
