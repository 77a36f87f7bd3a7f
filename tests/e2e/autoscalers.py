"""What scales pods, on the development cluster's node: metrics-server, Prometheus, KEDA.

They run as processes in the cluster's network, as its own programs do, with an administrator's rights; the API server
reaches the two metrics APIs by Services without selectors.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster_fixture import DevCluster
from tests.e2e.waiting import wait_until
from tools.devcluster.layout import NODE_IP
from tools.servers.autoscalers import Autoscalers

NAMESPACE: Final = "autoscalers"
METRICS_PORT, EXTERNAL_PORT, GRPC_PORT, PROMETHEUS_PORT, DISCOVERY_PORT = range(10443, 10448)
PROMETHEUS: Final = f"http://{NODE_IP}:{PROMETHEUS_PORT}"
APIS: Final = {
    "v1beta1.metrics.k8s.io": METRICS_PORT,
    "v1beta1.external.metrics.k8s.io": EXTERNAL_PORT,
}

#: Debian's Prometheus can't ask Kubernetes for pods itself: it is told over HTTP.
DISCOVERY: Final = """
import http.server, json, ssl, sys, urllib.request

pki, port = sys.argv[1:]
context = ssl.create_default_context(cafile=f"{pki}/ca.crt")
context.load_cert_chain(f"{pki}/admin.crt", f"{pki}/admin.key")
PODS = "https://127.0.0.1:6443/api/v1/pods?labelSelector=app.kubernetes.io/name%3Dinferenceservice"

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with urllib.request.urlopen(PODS, context=context) as answer:
            pods = json.load(answer)["items"]
        targets = [
            {
                "targets": [pod["status"]["podIP"] + ":8002"],
                "labels": {"namespace": pod["metadata"]["namespace"], "pod": pod["metadata"]["name"]},
            }
            for pod in pods
            if pod["status"].get("podIP")
        ]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(targets).encode())

http.server.HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""


@contextmanager
def run_autoscalers(
    cluster: DevCluster, programs: Autoscalers, prometheus: Path, folder: Path
) -> Iterator[None]:
    """All of them, until the context ends; then the metrics APIs are gone: one without a server stops namespaces from going."""
    cluster.kubectl("apply", "--server-side", "-f", programs.keda_crds)
    cluster.kubectl("apply", "-f", "-", input=json.dumps(make_objects()))
    with ExitStack() as running:
        running.callback(take_away, cluster)
        for name, command in make_commands(cluster, programs, prometheus, folder).items():
            running.enter_context(run_program(cluster, name, command, folder))
        wait_until(
            lambda: all(is_available(cluster, name) for name in APIS),
            "the metrics APIs answer",
            120,
            lambda: "\n".join(log.read_text()[-2000:] for log in sorted(folder.glob("*.log"))),
        )
        yield


def take_away(cluster: DevCluster) -> None:
    cluster.kubectl("delete", "apiservice", *APIS)
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def is_available(cluster: DevCluster, name: str) -> bool:
    conditions = cluster.get("apiservice", name).get("status", {}).get("conditions", [])
    return any(c["type"] == "Available" and c["status"] == "True" for c in conditions)


@contextmanager
def run_program(cluster: DevCluster, name: str, command: list[str], folder: Path) -> Iterator[None]:
    env = {
        **os.environ,
        "WATCH_NAMESPACE": "",
        "POD_NAMESPACE": NAMESPACE,
        "KEDA_CLUSTER_OBJECT_NAMESPACE": NAMESPACE,
    }
    with (
        (folder / f"{name}.log").open("wb") as log,
        subprocess.Popen(cluster.argv(*command), stdout=log, stderr=log, env=env) as process,
    ):
        try:
            yield
        finally:
            process.terminate()


def make_commands(
    cluster: DevCluster, programs: Autoscalers, prometheus: Path, folder: Path
) -> dict[str, list[str]]:
    pki = cluster.kubeconfig.parent
    certificates = write_certificates(pki, folder / "certificates")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(make_prometheus()))

    def flags(**values: object) -> list[str]:
        return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]

    serving = {
        "authentication_kubeconfig": cluster.kubeconfig,
        "authorization_kubeconfig": cluster.kubeconfig,
        "bind_address": NODE_IP,
        "tls_cert_file": certificates / "tls.crt",
        "tls_private_key_file": certificates / "tls.key",
    }
    return {
        "metrics-server": [
            str(programs.metrics_server),
            *flags(**serving, secure_port=METRICS_PORT, kubeconfig=cluster.kubeconfig),
            *flags(metric_resolution="10s", kubelet_request_timeout="5s"),
            *flags(kubelet_certificate_authority=pki / "ca.crt"),
            *flags(kubelet_preferred_address_types="InternalIP"),
        ],
        "keda-operator": [
            str(programs.keda_operator),
            *flags(metrics_bind_address=0, health_probe_bind_address=0, cert_dir=certificates),
            *flags(metrics_service_bind_address=f"{NODE_IP}:{GRPC_PORT}"),
        ],
        "keda-adapter": [
            str(programs.keda_adapter),
            *flags(**serving, secure_port=EXTERNAL_PORT, lister_kubeconfig=cluster.kubeconfig),
            *flags(cert_dir=certificates, metrics_service_address=f"{NODE_IP}:{GRPC_PORT}", port=0),
        ],
        "discovery": [sys.executable, "-c", DISCOVERY, str(pki), str(DISCOVERY_PORT)],
        "prometheus": [
            str(prometheus),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={NODE_IP}:{PROMETHEUS_PORT}",
        ],
    }


def write_certificates(pki: Path, folder: Path) -> Path:
    """The kubelet's, which is for this address, by the names that KEDA wants."""
    folder.mkdir()
    for name, source in (("ca.crt", "ca.crt"), ("tls.crt", "kubelet.crt"), ("tls.key", "kubelet.key")):
        (folder / name).symlink_to(pki / source)
    return folder


def make_prometheus() -> dict[str, Any]:
    """Scrapes the model pods as the chart's PodMonitor has it done, but for how often."""
    discovery = {"url": f"http://127.0.0.1:{DISCOVERY_PORT}/", "refresh_interval": "2s"}
    job = {"job_name": "models", "http_sd_configs": [discovery]}
    return {"global": {"scrape_interval": "2s", "scrape_timeout": "2s"}, "scrape_configs": [job]}


def make_objects() -> dict[str, Any]:
    items: list[Mapping[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    ]
    for api, port in APIS.items():
        version, _, group = api.partition(".")
        name = group.partition(".")[0]
        metadata = {"name": name, "namespace": NAMESPACE}
        items += [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {"ports": [{"port": port}]},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**metadata, "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4",
                "ports": [{"port": port}],
                "endpoints": [{"addresses": [NODE_IP]}],
            },
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": api},
                "spec": {
                    "group": group,
                    "version": version,
                    "service": {**metadata, "port": port},
                    "insecureSkipTLSVerify": True,
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                },
            },
        ]
    return {"apiVersion": "v1", "kind": "List", "items": items}
