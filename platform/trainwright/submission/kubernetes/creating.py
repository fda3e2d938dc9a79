"""Making the objects of a submission, once, whoever else does the same in the same moment."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Sequence

from trainwright.errors import Problem
from trainwright.submission.kubernetes import marks
from trainwright.submission.kubernetes.api import Api
from trainwright.submission.kubernetes.errors import Refusal
from trainwright.submission.kubernetes.resources import (
    RAYJOBS,
    Json,
    annotations_of,
    labels_of,
    name_of,
    resource_of,
)
from trainwright.submission.target import AlreadyThere, TargetError


class Maker:
    """Makes the objects of one submission.

    What goes with the RayJob is made before it, and the RayJob becomes its owner afterwards. A
    sender that dies in between leaves objects that the next one takes over.

    Args:
        api: the API server.
        namespace: where they are made.
    """

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._me = uuid.uuid4().hex

    def make(self, manifests: Sequence[Json]) -> Json:
        """Make them; the RayJob, which is the last.

        Raises:
            AlreadyThere: there is a RayJob of that name.
            TargetError: one is refused; then none of them is left.
        """
        *others, job = manifests
        name = name_of(job)
        self._refuse_second(name)
        made: list[Json] = []
        try:
            for manifest in others:
                made.append(self._make_or_take(manifest))
            found = self._make_job(job)
        except AlreadyThere:
            raise  # what was made is its as well
        except BaseException:
            self._undo(made, name)
            raise
        for manifest in others:
            self._give(manifest, found)
        return found

    def _make_job(self, manifest: Json) -> Json:
        """Make the RayJob; one that a request made which broke off is told by its sender."""
        manifest = copy.deepcopy(manifest)
        metadata = manifest["metadata"]
        metadata["annotations"] = {**annotations_of(manifest), marks.SENDER: self._me}
        try:
            return self._api.create(RAYJOBS, self._namespace, manifest)
        except Refusal as error:
            if error.reason != "AlreadyExists":
                raise
            found = self._api.find(RAYJOBS, self._namespace, name_of(manifest))
            if found is not None and annotations_of(found).get(marks.SENDER) == self._me:
                return found
            raise AlreadyThere(name_of(manifest)) from error

    def _make_or_take(self, manifest: Json) -> Json:
        """Make an object, or take over the one that an earlier sender has left."""
        resource = resource_of(manifest)
        for _ in range(3):
            try:
                return self._api.create(resource, self._namespace, manifest)
            except Refusal as error:
                if error.reason != "AlreadyExists":
                    raise
            found = self._api.find(resource, self._namespace, name_of(manifest))
            if found is None:
                continue
            self._refuse_foreign(found, manifest)
            metadata = found["metadata"]
            if metadata.get("ownerReferences"):
                self._refuse_second(name_of(manifest))
            elif "deletionTimestamp" not in metadata:
                return found
            # It belongs to a RayJob that was deleted, and goes in a moment.
            self._api.delete(resource, self._namespace, name_of(found), uid=metadata["uid"])
        what = f"{resource.kind} {name_of(manifest)} is being deleted, and is still there"
        raise TargetError(Problem("", what, mend="try again in a minute"))

    def _refuse_second(self, name: str) -> None:
        if self._api.find(RAYJOBS, self._namespace, name) is not None:
            raise AlreadyThere(name)

    def _refuse_foreign(self, found: Json, manifest: Json) -> None:
        """Refuse to use an object of the same name that is no part of this submission."""
        same = labels_of(found).get(marks.SUBMISSION) == labels_of(manifest).get(
            marks.SUBMISSION
        ) and all(found.get(part) == manifest.get(part) for part in ("data", "binaryData"))
        if same:
            return
        kind, name = resource_of(manifest).qualified, name_of(manifest)
        problem = Problem(
            "",
            f"there is another {resource_of(manifest).kind} of the name {name} in namespace "
            f"{self._namespace}, which Trainwright did not make for this job",
            mend=f"`kubectl -n {self._namespace} delete {kind} {name}`, if nobody needs it",
        )
        raise TargetError(problem)

    def _give(self, manifest: Json, job: Json) -> None:
        """Make the RayJob the owner of an object, so that it goes when the RayJob goes."""
        resource, name = resource_of(manifest), name_of(manifest)
        owner = {
            "apiVersion": "ray.io/v1",
            "kind": RAYJOBS.kind,
            "name": name_of(job),
            "uid": job["metadata"]["uid"],
            "blockOwnerDeletion": False,
        }
        try:
            self._api.patch(
                resource, self._namespace, name, {"metadata": {"ownerReferences": [owner]}}
            )
        except Refusal as error:
            if error.status == 404:
                # Another sender, which was refused, removed it in the moment before.
                owned = copy.deepcopy(manifest)
                owned["metadata"]["ownerReferences"] = [owner]
                self._api.create(resource, self._namespace, owned)
            elif error.status != 403:
                raise
            # Without that right it stays until `delete` removes it by its label.

    def _undo(self, made: Sequence[Json], name: str) -> None:
        """Remove what was made, unless another sender has made the RayJob meanwhile."""
        try:
            if self._api.find(RAYJOBS, self._namespace, name) is not None:
                return
            for found in made:
                metadata = found["metadata"]
                self._api.delete(
                    resource_of(found),
                    self._namespace,
                    metadata["name"],
                    uid=metadata["uid"],
                    resourceVersion=metadata["resourceVersion"],
                )
        except TargetError:
            return  # what is left is taken over when the job is sent again
