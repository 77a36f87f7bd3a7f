"""The loop's body: look at one object, write what differs, say how it is. Level-triggered: it never asks what happened."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from vinoserve_api.conditions import AcceptedReason
from vinoserve_api.problem import InvalidObject
from vinoserve_api.reading import read_service
from vinoserve_api.v1alpha1 import Condition
from vinoserve_operator.accelerators import Accelerators
from vinoserve_operator.cluster import Cluster
from vinoserve_operator.desired.children import Children, make_children
from vinoserve_operator.desired.names import POD_SECURITY_LABEL
from vinoserve_operator.errors import (
    ConflictError,
    GoneError,
    NotRenderableError,
    RejectedError,
    RetryableError,
)
from vinoserve_operator.generations import Generations
from vinoserve_operator.kinds import (
    ACCELERATOR_CLASS,
    BY_NAME,
    CHILDREN,
    DEPLOYMENT,
    EXTRAS,
    HORIZONTAL_POD_AUTOSCALER,
    INFERENCE_SERVICE,
    JOB,
    NAMESPACE,
    POD,
    RESOURCE_CLAIM_TEMPLATE,
    SERVICE,
    Object,
    Ref,
    find_controller,
    make_ref,
)
from vinoserve_operator.kube import Kube
from vinoserve_operator.logs import Written
from vinoserve_operator.metrics import Metrics
from vinoserve_operator.ownership import check_ours
from vinoserve_operator.plan import (
    find_drift,
    find_superfluous,
    hold_back,
    is_complete,
    make_key,
    make_plan,
)
from vinoserve_operator.recorder import Recorder
from vinoserve_operator.reports import Reports
from vinoserve_operator.settled import Settled, make_basis
from vinoserve_operator.status.accelerator import make_class_status
from vinoserve_operator.status.events import make_events, make_put_back_event
from vinoserve_operator.status.holdings import is_over, list_claim_templates
from vinoserve_operator.status.look import Acceptance, Look, accept
from vinoserve_operator.status.pods import PodView
from vinoserve_operator.status.precompile import Precompiling
from vinoserve_operator.status.service import make_service_status
from vinoserve_operator.waits import Waits

_REJECTED_AGAIN_SECONDS: Final = 60.0
"""Quotas and admission policies change without telling us."""

_LONGEST_SECONDS: Final = 60.0
"""Of one look at one object; longer than its requests may take together unless something hangs."""

_CLASS_AGAIN_SECONDS: Final = 10.0
"""So many writes at most of a status that counts what thousands of pods hold."""

_SERVICES_AT_ONCE: Final = 8
"""Written at the same time: an API server gives out one cluster IP after the other, and Deployments shall not wait for them."""

log = structlog.get_logger()


class Reconciler:
    """`await reconciler(ref)` brings one object to where it should be; see `queue.Queue` for what it returns and raises."""

    def __init__(
        self,
        kube: Kube,
        cluster: Cluster,
        reports: Reports,
        recorder: Recorder,
        metrics: Metrics,
        *,
        image: str,
        instance: str,
        now: Callable[[], str],
    ) -> None:
        """`instance` names this operator in events; `now` is the time in RFC 3339."""
        self._kube = kube
        self._cluster = cluster
        self._reports = reports
        self._recorder = recorder
        self._metrics = metrics
        self._image = image
        self._instance = instance
        self._now = now
        self._settled = Settled()
        self._services = asyncio.Semaphore(_SERVICES_AT_ONCE)
        self._waits = Waits(kube)
        self._accelerators = Accelerators(kube, cluster)
        self._generations = Generations(kube, cluster)

    async def __call__(self, ref: Ref) -> float | None:
        kind = ref.kind.name
        try:
            with self._metrics.reconcile_seconds.labels(kind).time():
                async with asyncio.timeout(_LONGEST_SECONDS):
                    return await self._reconcile(ref)
        except GoneError:
            return None
        except TimeoutError:
            self._metrics.reconcile_errors.labels(kind, "timeout").inc()
            raise RetryableError(f"took longer than {_LONGEST_SECONDS} s") from None
        except RetryableError as error:
            self._metrics.reconcile_errors.labels(kind, type(error).__name__).inc()
            log.debug("to be tried again", object=str(ref), error=str(error))
            raise
        except Exception as error:
            self._metrics.reconcile_errors.labels(kind, "bug").inc()
            log.exception("reconciling failed", object=str(ref))
            raise RetryableError(f"{type(error).__name__}: {error}") from error

    async def _reconcile(self, ref: Ref) -> float | None:
        raw = self._cluster.get(ref)
        if raw is None or raw["metadata"].get("deletionTimestamp"):
            self._settled.forget(ref)
            self._waits.forget(ref)
            return None
        written = Written(str(ref), raw["metadata"].get("generation"))
        try:
            if ref.kind is ACCELERATOR_CLASS:
                return await self._reconcile_class(ref, raw, written)
            return await self._reconcile_service(ref, raw, written)
        finally:
            written.log()

    async def _reconcile_service(self, ref: Ref, raw: Object, written: Written) -> float | None:
        again = None
        version = self._accelerators.version
        acceptance, children = self._recall(ref, raw) or self._desire(ref, raw)
        try:
            if children:
                try:
                    children = self._hold_back(ref, children)
                    kept = await self._generations.gather_configs(ref, children)
                    present = await self._apply_children(raw, children.keep_configs(kept), written)
                    await self._delete_superfluous(ref, raw, children, written)
                    if not kept and children.precompile is None:
                        self._settled.note(ref, make_basis(raw, version, present), children.config)
                except RejectedError as error:
                    acceptance = Acceptance(AcceptedReason.NOT_RENDERABLE, str(error))
                    again = _REJECTED_AGAIN_SECONDS
            viewed = [await self._reports.view(pod) for pod in self._cluster.gather_owned(POD, ref)]
            owned, until_asked = await self._waits.explain(ref, viewed, now := self._now())
            pods = [view for view in owned if not view.compiles]
            job = self._find_precompiling(ref, children, owned)
            job, until_refused = await self._waits.explain_job(ref, job, now)
            deployment = self._cluster.get(Ref(DEPLOYMENT, ref.namespace, ref.name))
            look = Look(
                raw,
                acceptance,
                deployment,
                pods,
                node_groups=self._accelerators.gather_node_groups(owned),
                lost_nodes=self._accelerators.gather_lost_nodes(owned),
                class_troubles=self._accelerators.gather_troubles(acceptance.service),
                autoscaler=self._cluster.get(Ref(HORIZONTAL_POD_AUTOSCALER, ref.namespace, ref.name)),
                precompiling=job,
                template=await self._generations.find_template(ref, pods),
                now=now,
            )
            status = make_service_status(look)
            await self._apply_status(ref, raw, status.dump(), status.conditions, written)
        except RetryableError as error:
            error.progressed = bool(written.applied or written.deleted)
            if isinstance(error, ConflictError):
                await self._refresh(ref)
            raise
        return again or min(filter(None, (until_asked, until_refused)), default=None)

    def _hold_back(self, ref: Ref, children: Children) -> Children:
        """What of them may be applied now."""
        deployment = self._cluster.get(Ref(DEPLOYMENT, ref.namespace, ref.name))
        return hold_back(children, deployment, self._find_job(ref, children))

    def _find_job(self, ref: Ref, children: Children) -> Object | None:
        if children.precompile is None:
            return None
        return self._cluster.get(Ref(JOB, ref.namespace, children.precompile.job["metadata"]["name"]))

    def _find_precompiling(
        self, ref: Ref, children: Children | None, pods: list[PodView]
    ) -> Precompiling | None:
        if children is None or children.precompile is None or not children.held:
            return None
        job = self._find_job(ref, children)
        if job is None:
            return None
        uid = job["metadata"]["uid"]
        own = [pod for pod in pods if (find_controller(dict(pod.pod)) or {}).get("uid") == uid]
        namespace = self._cluster.get(Ref(NAMESPACE, "", ref.namespace)) or {"metadata": {}}
        enforced = (namespace["metadata"].get("labels") or {}).get(POD_SECURITY_LABEL, "")
        return Precompiling(
            job,
            own,
            exclusive=children.precompile.exclusive,
            enforced=enforced,
        )

    def _recall(self, ref: Ref, raw: Object) -> tuple[Acceptance, None] | None:
        """Where all is as it was when nothing was left to write."""
        named = [self._cluster.get(Ref(kind, ref.namespace, ref.name)) for kind in CHILDREN]
        extras = [extra for kind in EXTRAS for extra in self._cluster.gather_owned(kind, ref)]
        basis = make_basis(raw, self._accelerators.version, [*filter(None, named), *extras])
        config = self._settled.find_config(ref, basis)
        if config is None:
            return None
        service = read_service(raw)
        return accept(service, config), None

    def _desire(self, ref: Ref, raw: Object) -> tuple[Acceptance, Children | None]:
        """Whatever is wrong with one object stays with it: it is told there, and its pods go on serving."""
        try:
            service = read_service(raw)
            groups = self._find_groups(ref)
            children = make_children(
                service, self._accelerators.gather_inventory(), image=self._image, known_groups=groups
            )
        except InvalidObject as error:
            problems = "; ".join(str(problem) for problem in error.problems)
            return Acceptance(error.problems[0].reason, problems), None
        except NotRenderableError as error:
            return Acceptance(error.reason, str(error)), None
        except Exception as error:
            log.exception("rendering failed", object=str(ref))
            message = f"spec: vinoserve failed to render it, which is a bug of vinoserve: {error!r}"
            return Acceptance(AcceptedReason.NOT_RENDERABLE, message), None
        return accept(service, children.config), children

    def _find_groups(self, ref: Ref) -> list[int]:
        """The groups that the Deployment gives its pods now."""
        deployment = self._cluster.get(Ref(DEPLOYMENT, ref.namespace, ref.name)) or {}
        template = (deployment.get("spec") or {}).get("template") or {}
        context = (template.get("spec") or {}).get("securityContext") or {}
        return context.get("supplementalGroups") or []

    async def _apply_children(self, raw: Object, children: Children, written: Written) -> list[Object]:
        """Apply what differs, and give all as they are then."""
        refs = {make_key(child): make_ref(BY_NAME[child["kind"]], child) for child in children}
        observed = {key: found for key, ref in refs.items() if (found := self._cluster.get(ref))}
        plan = make_plan(children, observed.values())
        if any(make_key(wanted) not in observed for wanted in plan):
            await self._check_owner(raw)
        # Cluster IPs are given out one at a time, and pods can start without.
        for wanted in sorted(plan, key=lambda child: child["kind"] == SERVICE.name):
            key = make_key(wanted)
            was = observed.get(key)
            async with self._services if wanted["kind"] == SERVICE.name else contextlib.nullcontext():
                observed[key], was = await self._apply_child(refs[key], wanted, was, raw)
            self._cluster.put(refs[key].kind, observed[key])
            written.applied.append(wanted["kind"])
            self._tell_put_back(raw, wanted, was)
        return list(observed.values())

    def _tell_put_back(self, raw: Object, wanted: Object, was: Object | None) -> None:
        """Where nothing but somebody else's change called for the write."""
        difference = find_drift(wanted, was) if was else None
        always = BY_NAME[wanted["kind"]] in CHILDREN
        deleted = was is None and always and self._settled.knows(make_ref(INFERENCE_SERVICE, raw))
        if difference or deleted:
            event = make_put_back_event(raw, wanted, difference, self._instance, self._now())
            self._recorder.record(event)

    async def _apply_child(
        self, ref: Ref, wanted: Object, present: Object | None, raw: Object
    ) -> tuple[Object, Object | None]:
        """The child, and what was there before. `present` as far as it is known: in its place there may be what isn't ours."""
        if present is None:
            try:
                return await self._kube.create(wanted), None
            except ConflictError:
                present = await self._kube.get(*ref)
        if present is not None:
            check_ours(present, raw)
            wanted["metadata"]["uid"] = present["metadata"]["uid"]  # of one deleted meanwhile nothing is made
        return await self._kube.apply(wanted), present

    async def _delete_superfluous(self, ref: Ref, raw: Object, children: Children, written: Written) -> None:
        """What the spec called for once; after all else, so that nothing is without it too early."""
        pods = [pod for pod in self._cluster.gather_owned(POD, ref) if not is_over(pod)]
        templates = {template for pod in pods for template in list_claim_templates(pod)}
        extras = [
            extra
            for kind in EXTRAS
            for extra in self._cluster.gather_owned(kind, ref)
            # an old pod that dies during a rollout, or before it begins, is made anew from the old template
            if not (
                kind is RESOURCE_CLAIM_TEMPLATE and (children.held or extra["metadata"]["name"] in templates)
            )
            and not is_complete(extra)  # a Job, which goes by itself
        ]
        for extra in find_superfluous(children, extras, raw["metadata"]["uid"]):
            await self._kube.delete(extra)
            self._cluster.drop(BY_NAME[extra["kind"]], extra)
            written.deleted.append(extra["kind"])

    async def _check_owner(self, raw: Object) -> None:
        """Before anything is made: a deletion may have been missed, and then children would be made for nobody."""
        metadata = raw["metadata"]
        fresh = await self._kube.get(INFERENCE_SERVICE, metadata["namespace"], metadata["name"])
        if fresh is None or fresh["metadata"]["uid"] != metadata["uid"]:
            self._cluster.drop(INFERENCE_SERVICE, raw)
            raise GoneError("the service was deleted")
        if fresh["metadata"].get("deletionTimestamp"):
            raise GoneError("the service is being deleted")

    async def _refresh(self, ref: Ref) -> None:
        """After a conflict: what the caches hold of this service is not what is there."""
        named = [Ref(kind, ref.namespace, ref.name) for kind in (INFERENCE_SERVICE, *CHILDREN)]
        extras = [make_ref(kind, extra) for kind in EXTRAS for extra in self._cluster.gather_owned(kind, ref)]
        for child in (*named, *extras):
            try:
                fresh = await self._kube.get(*child)
            except RetryableError:
                continue  # the next attempt conflicts again if that one was it
            known = self._cluster.get(child)
            if fresh is not None:
                self._cluster.put(child.kind, fresh)
            elif known is not None:
                self._cluster.drop(child.kind, known)

    async def _reconcile_class(self, ref: Ref, raw: Object, written: Written) -> float | None:
        """What pods hold, and what drivers publish, is looked at now and then: there are many, and they tell of themselves."""
        look = await self._accelerators.look(raw, self._now())
        status = make_class_status(look)
        await self._apply_status(ref, raw, status.dump(), status.conditions, written)
        return _CLASS_AGAIN_SECONDS if look.accelerator else None

    async def _apply_status(
        self,
        ref: Ref,
        raw: Object,
        status: Mapping[str, Any],
        conditions: tuple[Condition, ...],
        written: Written,
    ) -> None:
        """Nothing is written where nothing has changed; conditions that have make events."""
        before = raw.get("status") or {}
        if status == before:
            return
        metadata = {k: raw["metadata"][k] for k in ("name", "namespace", "uid") if k in raw["metadata"]}
        wanted = {
            "apiVersion": raw["apiVersion"],
            "kind": raw["kind"],
            "metadata": metadata,
            "status": status,
        }
        try:
            answer = await self._kube.apply_status(wanted)
        except RejectedError as error:
            raise RetryableError(f"the status was refused: {error}") from error
        same = answer["metadata"].get("generation") == raw["metadata"].get("generation")
        # The watch brings what calls for a look: an edit made meanwhile, and classes, so that services hear of them.
        if same and ref.kind is not ACCELERATOR_CLASS:
            self._cluster.put(ref.kind, answer)
        written.note_status(before, status, conditions)
        previous = before.get("conditions") or ()
        for event in make_events(raw, previous, conditions, self._instance, self._now()):
            self._recorder.record(event)
