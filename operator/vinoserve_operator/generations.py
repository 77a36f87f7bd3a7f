"""What pods of other generations still need, and which generation the pods that are there belong to."""

from vinoserve_operator.cluster import Cluster
from vinoserve_operator.desired.children import Children
from vinoserve_operator.desired.names import (
    make_config_key,
    make_label_selector,
    make_labels,
    read_config_key,
)
from vinoserve_operator.kinds import CONFIG_MAP, POD, REPLICA_SET, Object, Ref
from vinoserve_operator.kube import Kube
from vinoserve_operator.status.pods import PodView
from vinoserve_operator.status.rollout import find_template


class Generations:
    """ReplicaSets tell, which aren't watched: they are asked for only when it matters."""

    def __init__(self, kube: Kube, cluster: Cluster) -> None:
        self._kube = kube
        self._cluster = cluster

    async def gather_configs(self, ref: Ref, children: Children) -> dict[str, str]:
        """The ConfigMap's keys that pods of other generations mount, or may yet: a pod that restarts finds its own config.

        ReplicaSets are asked for only when something could be dropped.
        """
        present = (self._cluster.get(Ref(CONFIG_MAP, ref.namespace, ref.name)) or {}).get("data") or {}
        others = {key: text for key, text in present.items() if key != make_config_key(children.config)}
        used = {read_config_key(pod["metadata"]) for pod in self._cluster.gather_owned(POD, ref)}
        if others.keys() - used:
            used |= {
                read_config_key(r["spec"]["template"]["metadata"])
                for r in await self._gather_replica_sets(ref)
                if r["spec"].get("replicas")
            }
        return {key: text for key, text in others.items() if key in used}

    async def find_template(self, ref: Ref, pods: list[PodView]) -> str | None:
        """Hash of the Deployment's present template, where its pods alone don't tell: after a rollback it isn't the youngest's.

        ReplicaSets are asked for only when something is wrong while pods of several templates are there.
        """
        live = [pod for pod in pods if pod.live]
        if len({pod.template for pod in live}) < 2:
            return None
        if not any(found.stuck for pod in live if (found := pod.diagnose())):
            return None
        return find_template(await self._gather_replica_sets(ref))

    async def _gather_replica_sets(self, ref: Ref) -> list[Object]:
        selector = make_label_selector(make_labels(ref.name))
        return await self._kube.gather(REPLICA_SET, ref.namespace, selector)
