"""Pure: the configuration files and command lines of the node's programs."""

import json
from collections.abc import Mapping
from typing import Any

from tools.devcluster.layout import (
    API_PORT,
    CONTAINERD_SOCKET,
    NODE,
    NODE_IP,
    PAUSE_IMAGE,
    POD_CIDR,
    SERVICE_CIDR,
    Build,
    Cluster,
)
from tools.devcluster.record import Record

#: where kubelet looks for flex volume plugins: its default would make a folder in the host's /usr/libexec
VOLUME_PLUGINS = "/var/lib/kubelet/volumeplugins"


def make_files(build: Build, cluster: Cluster) -> dict[str, str]:
    """File name below `etc/` -> contents. Kubernetes reads JSON where it reads YAML."""
    return {
        "cni/10-pods.conflist": json.dumps(make_cni(), indent=1),
        "containerd.toml": to_toml(make_containerd(build, cluster)),
        "kubelet.json": json.dumps(make_kubelet(cluster), indent=1),
        "Corefile": make_corefile(cluster),
        "coredns-rbac.json": json.dumps(make_coredns_rbac(), indent=1),
        "device-class.json": json.dumps(make_device_class(), indent=1),
    }


def make_cni() -> dict[str, Any]:
    """Plugin ptp routes everything, so a ClusterIP between pods of the node works without br_netfilter."""
    ranges = [[{"subnet": POD_CIDR}]]
    ipam = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{"type": "ptp", "ipMasq": False, "ipam": ipam}],
    }


def make_containerd(build: Build, cluster: Cluster) -> dict[str, Any]:
    runc = {
        "runtime_type": "io.containerd.runc.v2",
        "options": {"SystemdCgroup": False, "BinaryName": str(build.debian / "usr/sbin/runc")},
    }
    return {
        "version": 3,
        "root": str(cluster.state / "containerd/root"),
        "state": "/run/containerd/state",
        "disabled_plugins": [
            "io.containerd.nri.v1.nri",
            "io.containerd.internal.v1.tracing",
            "io.containerd.tracing.processor.v1.otlp",
        ],
        "grpc": {"address": CONTAINERD_SOCKET},
        "ttrpc": {"address": f"{CONTAINERD_SOCKET}.ttrpc"},
        "plugins": {
            "io.containerd.internal.v1.opt": {"path": str(cluster.state / "containerd/opt")},
            "io.containerd.cri.v1.images": {
                "snapshotter": "overlayfs",
                "pinned_images": {"sandbox": PAUSE_IMAGE},
            },
            "io.containerd.cri.v1.runtime": {
                "restrict_oom_score_adj": True,
                "disable_apparmor": True,
                "netns_mounts_under_state_dir": True,
                "cni": {"bin_dirs": [str(build.cni)], "conf_dir": str(cluster.etc / "cni")},
                "containerd": {"default_runtime_name": "runc", "runtimes": {"runc": runc}},
            },
        },
    }


def make_kubelet(cluster: Cluster) -> dict[str, Any]:
    pki = cluster.pki
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/kubelet.crt",
        "tlsPrivateKeyFile": f"{pki}/kubelet.key",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cluster.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [NODE_IP],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "nodeStatusUpdateFrequency": "2s",
        "maxPods": 250,
        # the host's disk is not ours to judge: act only when it is nearly full
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "volumePluginDir": VOLUME_PLUGINS,
        "shutdownGracePeriod": "0s",
    }


def make_corefile(cluster: Cluster) -> str:
    """CoreDNS runs on the node's address: cluster DNS that depends on no image and no kube-proxy."""
    return f"""\
.:53 {{
  bind {NODE_IP}
  errors
  health 127.0.0.1:8180
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa ip6.arpa {{
    kubeconfig {cluster.pki}/coredns.kubeconfig
    pods insecure
    ttl 5
  }}
  cache 5
  loadbalance
}}
"""


def make_coredns_rbac() -> dict[str, Any]:
    api = "rbac.authorization.k8s.io"
    metadata = {"name": "system:coredns"}
    rules = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    role = {"apiGroup": api, "kind": "ClusterRole", "name": "system:coredns"}
    user = {"apiGroup": api, "kind": "User", "name": "system:coredns"}
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": f"{api}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules},
            {
                "apiVersion": f"{api}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": metadata,
                "roleRef": role,
                "subjects": [user],
            },
        ],
    }


def make_device_class() -> dict[str, Any]:
    """As the installation of Intel's DRA driver brings it; its extendedResourceName is optional there too."""
    selector = {"cel": {"expression": "device.driver == 'gpu.intel.com'"}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": "gpu.intel.com"},
        "spec": {"selectors": [selector], "extendedResourceName": "intel.com/gpu"},
    }


def make_commands(cluster: Cluster, record: Record) -> dict[str, list[str]]:
    """Program -> command line, in the order they start. The log of each is `log/PROGRAM.log`."""
    pki, state = cluster.pki, cluster.state

    def kubeconfigs(name: str) -> list[str]:
        flags = ("--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig")
        return [f"{flag}={pki}/{name}.kubeconfig" for flag in flags]

    commands = {
        # a development cluster's objects need not survive a power cut
        "etcd": ["etcd", "--data-dir", f"{state}/etcd", "--unsafe-no-fsync", "--log-level", "warn"],
        "containerd": ["containerd", "-c", f"{cluster.etc}/containerd.toml"],
        "kube-apiserver": make_apiserver(cluster),
        "kube-controller-manager": [
            "kube-controller-manager",
            *kubeconfigs("controller-manager"),
            f"--service-account-private-key-file={pki}/sa.key",
            f"--root-ca-file={pki}/ca.crt",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            "--use-service-account-credentials",
            f"--flex-volume-plugin-dir={VOLUME_PLUGINS}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            # the default of 15 s makes tests wait
            "--horizontal-pod-autoscaler-sync-period=5s",
            # the default of 20 a second makes hundreds of Deployments take minutes
            "--kube-api-qps=1000",
            "--kube-api-burst=2000",
        ],
        "kube-scheduler": [
            "kube-scheduler",
            *kubeconfigs("scheduler"),
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--kube-api-qps=1000",
            "--kube-api-burst=2000",
        ],
        "kubelet": [
            "kubelet",
            f"--config={cluster.etc}/kubelet.json",
            f"--kubeconfig={pki}/kubelet.kubeconfig",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_IP}",
            f"--cert-dir={state}/kubelet/pki",
        ],
        "kube-proxy": [
            "kube-proxy",
            f"--kubeconfig={pki}/proxy.kubeconfig",
            "--proxy-mode=nftables",
            f"--hostname-override={NODE}",
            f"--cluster-cidr={POD_CIDR}",
            # 0: leave the machine's connection tracking as it is
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ],
        "coredns": ["coredns", "-conf", f"{cluster.etc}/Corefile", "-quiet"],
    }
    sick = ["-unhealthy", str(cluster.sick_gpus)]
    if record.gpus:
        commands["gpu-plugin"] = ["gpu-plugin", "-resource", f"gpu.intel.com/{record.gpu_driver}", *sick]
    if record.gpu_dra:
        commands["gpu-dra"] = ["gpu-dra", "-kubeconfig", str(cluster.kubeconfig), "-node", NODE, *sick]
    if record.npus:
        resource = "npu.intel.com/accel"
        commands["npu-plugin"] = ["gpu-plugin", "-resource", resource, "-devices", "/dev/accel", *sick]
    return commands


def make_apiserver(cluster: Cluster) -> list[str]:
    pki = cluster.pki
    return [
        "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--secure-port={API_PORT}",
        "--bind-address=0.0.0.0",
        f"--advertise-address={NODE_IP}",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        "--enable-aggregator-routing=true",
        f"--kubelet-client-certificate={pki}/admin.crt",
        f"--kubelet-client-key={pki}/admin.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def to_toml(document: Mapping[str, Any], path: tuple[str, ...] = ()) -> str:
    """A nested mapping as TOML. JSON's strings, numbers, booleans and lists are TOML's too."""
    values = [f"{json.dumps(k)} = {json.dumps(v)}" for k, v in document.items() if not isinstance(v, Mapping)]
    tables = [to_toml(v, (*path, k)) for k, v in document.items() if isinstance(v, Mapping)]
    head = [f"[{'.'.join(map(json.dumps, path))}]"] if path and values else []
    return "\n".join([*head, *values, *tables]) + ("" if path else "\n")
