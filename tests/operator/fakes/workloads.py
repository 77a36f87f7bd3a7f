"""Stands in for the Deployment controller, the scheduler, the kubelet and the model servers: pods are there at once."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp

from tests.operator.fakes.api_server import ApiServer
from vinoserve_api.contract import RuntimeReport
from vinoserve_operator.kinds import DEPLOYMENT, POD, Kind

Object = dict[str, Any]
Report = Callable[[Object], RuntimeReport | None]


class Workloads:
    """`report` says what the server of a pod reports; `ready` whether new pods become ready."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.ready = True
        self.report: Report = lambda _: make_report()
        self.polls = 0
        self._count = 0
        self._busy = False
        self._pods: dict[str, Object] = {}
        api.on_write.append(self._on_write)

    async def fetch(self, url: str) -> bytes:
        """The body of http://ADDRESS:8002/report."""
        self.polls += 1
        await asyncio.sleep(0)
        pod = self._pods.get(url.split("/")[2].rsplit(":", 1)[0])
        report = self.report(pod) if pod else None
        if report is not None:
            return json.dumps(report.dump()).encode()
        raise aiohttp.ClientConnectionError("refused")

    def _on_write(self, kind: Kind, found: Object) -> None:
        if kind is DEPLOYMENT and not self._busy:
            self._busy = True
            try:
                self.roll(found)
            finally:
                self._busy = False

    def roll(self, deployment: Object) -> None:
        """All pods are of the present template, and the Deployment's status says so."""
        metadata, template = deployment["metadata"], deployment["spec"]["template"]
        selector = deployment["spec"]["selector"]["matchLabels"].items()
        pods = [
            p
            for p in self.api.gather(POD)
            if p["metadata"]["namespace"] == metadata["namespace"]
            and selector <= p["metadata"]["labels"].items()
        ]
        for pod in list(pods):
            if pod["metadata"]["template"] != json.dumps(template, sort_keys=True):
                self.api.delete(POD, metadata["namespace"], pod["metadata"]["name"])
                pods.remove(pod)
        wanted = deployment["spec"]["replicas"]
        for pod in pods[wanted:]:
            self.api.delete(POD, metadata["namespace"], pod["metadata"]["name"])
        for _ in range(wanted - len(pods)):
            pod = self._make_pod(deployment)
            self._pods[pod["status"]["podIP"]] = self.api.put(pod)
        status = {
            "observedGeneration": metadata["generation"],
            "replicas": wanted,
            "updatedReplicas": wanted,
            "readyReplicas": wanted if self.ready else 0,
        }
        self.api.put({**deployment, "metadata": dict(metadata), "status": status})

    def _make_pod(self, deployment: Object) -> Object:
        self._count += 1
        metadata, template = deployment["metadata"], deployment["spec"]["template"]
        ready = "True" if self.ready else "False"
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{metadata['name']}-{self._count:05}",
                "namespace": metadata["namespace"],
                "labels": dict(template["metadata"]["labels"]),
                "annotations": dict(template["metadata"]["annotations"]),
                "template": json.dumps(template, sort_keys=True),
                "ownerReferences": [
                    {"uid": metadata["uid"], "kind": "ReplicaSet", "name": "x", "controller": True}
                ],
            },
            "spec": {**template["spec"], "nodeName": "node-1"},
            "status": {
                "phase": "Running",
                "podIP": f"10.{self._count >> 16 & 255}.{self._count >> 8 & 255}.{self._count & 255}",
                "conditions": [
                    {"type": "PodScheduled", "status": "True"},
                    {"type": "Ready", "status": ready},
                ],
                "initContainerStatuses": [{"name": "fetch", "state": {"terminated": {"exitCode": 0}}}],
                "containerStatuses": [
                    {
                        "name": "serve",
                        "containerID": f"c{self._count}",
                        "restartCount": 0,
                        "state": {"running": {}},
                    }
                ],
            },
        }


def make_report(**fields: Any) -> RuntimeReport:
    """Of a server that is ready on the CPU."""
    given = {
        "phase": "Ready",
        "targetDevice": "CPU",
        "executionDevices": ["CPU"],
        "deviceNames": ["An Intel CPU"],
        "onRequestedDevice": True,
        "startup": {"fetchSeconds": 0.25, "readSeconds": 0.5, "compileSeconds": 1.23456, "cacheHit": False},
        "model": {"uri": "https://example.com/m.onnx", "digest": "sha256:" + "a" * 64, "format": "onnx"},
    }
    return RuntimeReport.load({**given, **fields})
