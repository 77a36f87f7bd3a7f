"""What the cluster's programs are told."""

import json
import tomllib
from pathlib import Path

import pytest

from tools.devcluster import certs, configs
from tools.devcluster.layout import Build, Cluster, make_cluster
from tools.devcluster.record import Record
from tools.toolbox.errors import ToolError

BUILD = Build(Path("/cache/devcluster/0123"))
CLUSTER = Cluster("try", Path("/cache/devcluster/clusters/try"))


def test_containerd_reads_what_was_meant() -> None:
    files = configs.make_files(BUILD, CLUSTER)
    assert tomllib.loads(files["containerd.toml"]) == configs.make_containerd(BUILD, CLUSTER)


def test_toml_quotes_what_needs_it() -> None:
    document = {"a": 1, "b.c": {"d e": {"f": 'say "x"\n', "g": [True, "h"]}, "i": {}}, "j": {"k": False}}
    assert tomllib.loads(configs.to_toml(document)) == {**document, "b.c": {"d e": document["b.c"]["d e"]}}  # type: ignore[index]


def test_two_clusters_share_nothing_on_the_host() -> None:
    """Beside the programs, every path that is not inside the mount namespace is in the cluster's own folder."""
    other = Cluster("other", Path("/cache/devcluster/clusters/other"))
    mine, others = (configs.make_files(BUILD, c) for c in (CLUSTER, other))
    for name in ("containerd.toml", "kubelet.json", "Corefile"):
        assert (
            mine[name].replace(str(CLUSTER.state), str(other.state)).replace(CLUSTER.cgroup, other.cgroup)
            == others[name]
        )
        assert mine[name] != others[name]


def test_kubelet_keeps_to_the_cgroup_that_down_removes() -> None:
    assert (
        json.loads(configs.make_files(BUILD, CLUSTER)["kubelet.json"])["cgroupRoot"] == f"/{CLUSTER.cgroup}"
    )
    assert CLUSTER.cgroup.startswith("devcluster-try-")
    assert CLUSTER.cgroup != Cluster("try", Path("/other/clusters/try")).cgroup, "two caches, two clusters"


def test_hundreds_of_services_have_addresses_and_pods_room() -> None:
    commands = configs.make_commands(CLUSTER, Record("", 0, "xe", None))
    assert "--service-cluster-ip-range=10.0.0.0/16" in commands["kube-apiserver"]
    assert configs.make_kubelet(CLUSTER)["maxPods"] == 250


@pytest.mark.parametrize("driver", ["xe", "i915"])
def test_device_plugin_offers_the_driver_it_was_asked_for(driver: str) -> None:
    commands = configs.make_commands(CLUSTER, Record("", 2, driver, None, npus=1))
    assert f"gpu.intel.com/{driver}" in commands["gpu-plugin"]
    assert "npu.intel.com/accel" in commands["npu-plugin"]
    assert "gpu-dra" not in commands
    assert "gpu-plugin" not in configs.make_commands(CLUSTER, Record("", 0, "xe", None))


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a/b", "..", "a" * 33])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ToolError, match="--name"):
        make_cluster(name)


def test_a_cache_folder_that_the_cluster_covers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VINOSERVE_CACHE", "/var/lib/someone/cache")
    with pytest.raises(ToolError, match="VINOSERVE_CACHE"):
        make_cluster("try")


def test_kubeconfig_stands_alone(tmp_path: Path) -> None:
    """It carries its certificates, so a test may copy it anywhere."""
    cluster = Cluster("try", tmp_path)
    certs.write_certificates(cluster)
    config = json.loads(cluster.kubeconfig.read_text())
    user = config["users"][0]["user"]
    assert set(user) == {"client-certificate-data", "client-key-data"}
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    assert config["current-context"] == "devcluster-try"
    assert cluster.pki.stat().st_mode & 0o777 == 0o700
