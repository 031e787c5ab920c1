"""What a W&B server knows: runs and artifacts, in the shapes that the client's requests select.

The shapes are those of a captured session of wandb 0.31.0. Versions count from v0; an artifact
whose digest its collection has already is that version, not a new one; ``latest`` moves.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NOW = "2026-01-01T00:00:00Z"
ENTITY = "ent"


def node_id(kind: str, *parts: object) -> str:
    """An opaque id, as the API has them."""
    return base64.b64encode(":".join([kind, *map(str, parts)]).encode()).decode()


@dataclass
class Run:
    """A run, by the names that the API has for its parts."""

    entity: str
    project: str
    name: str
    fields: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    exitcode: int | None = None
    used: list[Artifact] = field(default_factory=list)
    logged: list[Artifact] = field(default_factory=list)


@dataclass
class Artifact:
    """A version of an artifact, committed or not."""

    id: str
    entity: str
    project: str
    collection: str
    type: str
    digest: str
    metadata: str | None
    run: Run | None
    description: str | None = None
    version: int | None = None
    state: str = "PENDING"
    aliases: list[str] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    manifest: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """Its metadata."""
        found: dict[str, Any] = json.loads(self.metadata or "{}")
        return found


class State:
    """All that the server knows; call its methods with the lock held."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.base = ""
        self.runs: dict[tuple[str, str, str], Run] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.storage: dict[str, bytes] = {}

    def roots(self) -> dict[str, Any]:
        """What queries and mutations select from."""
        return {
            "query": {
                "viewer": self._viewer(),
                "serverInfo": {"features": []},
                "entity": lambda a: {"organization": None},
                "project": lambda a: self._project(a.get("entityName") or ENTITY, a.get("name")),
                "artifact": lambda a: self._artifact(self.artifacts.get(a["id"])),
            },
            "mutation": {
                name: lambda a, act=act: act(a.get("input", a))
                for name, act in {
                    "upsertBucket": self._upsert_run,
                    "createArtifact": self._create_artifact,
                    "createArtifactManifest": self._create_manifest,
                    "updateArtifactManifest": self._create_manifest,
                    "createArtifactFiles": self._create_files,
                    "commitArtifact": self._commit,
                    "useArtifact": self._use,
                    "createRunFiles": self._run_files,
                    "addAliases": self._add_aliases,
                    "deleteAliases": self._delete_aliases,
                    "updateArtifact": self._update,
                }.items()
            },
        }

    def collection(self, entity: str, project: str, name: str) -> list[Artifact]:
        """The committed versions of a name, in order."""
        found = [
            a
            for a in self.artifacts.values()
            if (a.entity, a.project, a.collection, a.state) == (entity, project, name, "COMMITTED")
        ]
        return sorted(found, key=lambda a: a.version or 0)

    def find(self, entity: str, project: str, reference: str) -> Artifact | None:
        """``name:version or alias``."""
        name, _, wanted = reference.partition(":")
        wanted = wanted or "latest"
        for artifact in self.collection(entity, project, name):
            if wanted in (f"v{artifact.version}", *artifact.aliases):
                return artifact
        return None

    def _viewer(self) -> dict[str, Any]:
        return {
            "id": node_id("User", 1),
            "entity": ENTITY,
            "username": ENTITY,
            "email": "stub@localhost",
            "flags": "{}",
            "teams": _edges([{"name": ENTITY}]),
        }

    def _project(self, entity: str, name: str | None) -> dict[str, Any]:
        project = name or "uncategorized"
        return {
            **_project_info(entity, project),
            "run": lambda a: self._run(self.runs.get((entity, project, a["name"]))),
            "artifact": lambda a: self._artifact(self.find(entity, project, a["name"])),
            "artifactCollectionMembership": lambda a: self._membership(
                self.find(entity, project, a["name"]), a["name"]
            ),
            "artifactCollection": lambda a: self._collection(entity, project, a["name"]),
            "artifactType": lambda a: self._type(entity, project, a["name"]),
            "artifactTypes": lambda a: _edges(
                [
                    self._type(entity, project, kind)
                    for kind in sorted({x.type for x in self._all(entity, project)})
                ]
            ),
        }

    def _all(self, entity: str, project: str) -> list[Artifact]:
        every = self.artifacts.values()
        return [item for item in every if (item.entity, item.project) == (entity, project)]

    def _type(self, entity: str, project: str, kind: str) -> dict[str, Any]:
        names = sorted({x.collection for x in self._all(entity, project) if x.type == kind})
        return {
            "__typename": "ArtifactType",
            "id": node_id("ArtifactType", kind),
            "name": kind,
            "description": None,
            "createdAt": NOW,
            "artifactCollection": lambda a: self._collection(entity, project, a["name"]),
            "artifactCollections": lambda a: _edges(
                [self._collection(entity, project, name) for name in names]
            ),
        }

    def _run(self, run: Run | None) -> dict[str, Any] | None:
        if run is None:
            return None
        return {
            "__typename": "Run",
            "id": node_id("Run", "v1", run.name, run.project, run.entity),
            "name": run.name,
            "projectId": "1",
            "project": _project_info(run.entity, run.project),
            "displayName": run.fields.get("displayName") or run.name,
            "tags": run.fields.get("tags") or [],
            "group": run.fields.get("groupName"),
            "jobType": run.fields.get("jobType"),
            "state": "running" if run.exitcode is None else "finished",
            "config": run.fields.get("config"),
            "notes": run.fields.get("notes"),
            "sweepName": None,
            "commit": None,
            "readOnly": False,
            "createdAt": NOW,
            "heartbeatAt": NOW,
            "description": None,
            "historyLineCount": len(run.history),
            "user": {"name": ENTITY, "username": ENTITY},
            "inputArtifacts": lambda a: _edges([self._artifact(x) for x in run.used]),
            "outputArtifacts": lambda a: _edges([self._artifact(x) for x in run.logged]),
        }

    def _collection(self, entity: str, project: str, name: str) -> dict[str, Any] | None:
        found = self.collection(entity, project, name)
        if not found:
            return None
        return {
            "__typename": "ArtifactSequence",
            "id": node_id("ArtifactCollection", name),
            "name": name,
            "description": None,
            "createdAt": NOW,
            "updatedAt": NOW,
            "project": _project_info(entity, project),
            "defaultArtifactType": {"name": found[-1].type},
            "tags": _edges([]),
            "aliases": _edges([]),
            "artifactMembership": lambda a: self._membership(
                self.find(entity, project, f"{name}:{a['aliasName']}"), name
            ),
            "artifacts": lambda a: _edges(
                [self._artifact(x) for x in reversed(found)],
                versions=[f"v{x.version}" for x in reversed(found)],
            ),
        }

    def _membership(self, artifact: Artifact | None, name: str) -> dict[str, Any] | None:
        if artifact is None:
            return None
        return {
            "__typename": "ArtifactCollectionMembership",
            "id": node_id("ArtifactCollectionMembership", artifact.id),
            "versionIndex": artifact.version,
            "createdAt": NOW,
            "aliases": self._aliases(artifact),
            "artifactCollection": self._source(artifact),
            "artifact": self._artifact(artifact),
            "files": lambda a: _edges([self._file(artifact, file) for file in artifact.files]),
        }

    def _file(self, artifact: Artifact, name: str) -> dict[str, Any]:
        url = f"{self.base}/storage/artifacts/{artifact.id}/{name}"
        return {
            "__typename": "File",
            "id": node_id("File", artifact.id, name),
            "name": name,
            "displayName": name,
            "url": url,
            "directUrl": url,
            "sizeBytes": 0,
            "storagePath": f"wandb_artifacts/{artifact.id}/{name}",
            "mimetype": None,
            "updatedAt": NOW,
            "digest": artifact.files[name],
            "md5": artifact.files[name],
        }

    def _source(self, artifact: Artifact) -> dict[str, Any]:
        return {
            "__typename": "ArtifactSequence",
            "name": artifact.collection,
            "project": _project_info(artifact.entity, artifact.project),
            "latestArtifact": self._latest(artifact),
        }

    def _latest(self, artifact: Artifact) -> dict[str, Any] | None:
        known = self.collection(artifact.entity, artifact.project, artifact.collection)
        return {"id": known[-1].id} if known else None

    def _aliases(self, artifact: Artifact) -> list[dict[str, Any]]:
        return [
            {
                "__typename": "ArtifactAlias",
                "id": node_id("ArtifactAlias", artifact.id, alias),
                "alias": alias,
                "artifactCollection": self._source(artifact),
            }
            for alias in artifact.aliases
        ]

    def _artifact(self, artifact: Artifact | None) -> dict[str, Any] | None:
        if artifact is None:
            return None
        manifest = artifact.manifest
        return {
            "__typename": "Artifact",
            "id": artifact.id,
            "artifactSequence": self._source(artifact),
            "artifactType": {"name": artifact.type},
            "versionIndex": artifact.version,
            "description": artifact.description,
            "metadata": artifact.metadata,
            "ttlDurationSeconds": -2,
            "ttlIsInherited": True,
            "tags": [],
            "historyStep": None,
            "state": artifact.state,
            "size": 0,
            "digest": artifact.digest,
            "commitHash": artifact.digest[:20],
            "fileCount": len(artifact.files),
            "createdAt": NOW,
            "updatedAt": None,
            "aliases": self._aliases(artifact),
            "createdBy": self._run(artifact.run) if artifact.run else None,
            "usedBy": lambda a: _edges(
                [self._run(run) for run in self.runs.values() if artifact in run.used]
            ),
            "currentManifest": {
                "file": {"directUrl": f"{self.base}/storage/{manifest}"} if manifest else None
            },
        }

    def _upsert_run(self, a: Mapping[str, Any]) -> dict[str, Any]:
        entity, project = a.get("entityName") or ENTITY, a.get("modelName") or "uncategorized"
        key = (entity, project, a["name"])
        inserted = key not in self.runs
        run = self.runs.setdefault(key, Run(*key))
        run.fields.update({name: value for name, value in a.items() if value is not None})
        return {"bucket": self._run(run), "inserted": inserted}

    def _create_artifact(self, a: Mapping[str, Any]) -> dict[str, Any]:
        run = self.runs.get((a["entityName"], a["projectName"], a.get("runName") or ""))
        names = (a["entityName"], a["projectName"], a["artifactCollectionName"])
        same = [x for x in self.collection(*names) if x.digest == a["digest"]]
        wanted = [item["alias"] for item in a.get("aliases") or []]
        if same and a.get("enableDigestDeduplication"):
            artifact = same[0]
            self._move(artifact, wanted)
        else:
            number = len(self.artifacts) + 1
            artifact = Artifact(
                node_id("Artifact", number),
                *names,
                type=a["artifactTypeName"],
                digest=a["digest"],
                metadata=a.get("metadata"),
                description=a.get("description"),
                run=run,
                wanted=wanted,
            )
            self.artifacts[artifact.id] = artifact
        if run is not None and artifact not in run.logged:
            run.logged.append(artifact)
        return {"artifact": self._artifact(artifact)}

    def _create_manifest(self, a: Mapping[str, Any]) -> dict[str, Any]:
        artifact = self.artifacts[a["artifactID"]]
        artifact.manifest = f"manifests/{artifact.id}/wandb_manifest.json"
        return {
            "artifactManifest": {
                "id": node_id("ArtifactManifest", artifact.id),
                "file": {
                    "id": node_id("File", "manifest", artifact.id),
                    "uploadUrl": f"{self.base}/storage/{artifact.manifest}",
                    "uploadHeaders": [],
                },
            }
        }

    def _create_files(self, a: Mapping[str, Any]) -> dict[str, Any]:
        made = []
        for item in a["artifactFiles"]:
            artifact = self.artifacts[item["artifactID"]]
            artifact.files[item["name"]] = item["md5"]
            file = self._file(artifact, item["name"])
            made.append(
                {
                    "storagePath": file["storagePath"],
                    "uploadUrl": file["url"],
                    "uploadHeaders": [],
                    "uploadMultipartUrls": None,
                    "artifact": {"id": artifact.id},
                }
            )
        return {"files": _edges(made)}

    def _commit(self, a: Mapping[str, Any]) -> dict[str, Any]:
        artifact = self.artifacts[a["artifactID"]]
        if artifact.state != "COMMITTED":
            known = self.collection(artifact.entity, artifact.project, artifact.collection)
            artifact.version, artifact.state = len(known), "COMMITTED"
            self._move(artifact, artifact.wanted)
        return {"artifact": self._artifact(artifact)}

    def _move(self, artifact: Artifact, aliases: list[str]) -> None:
        for other in self.collection(artifact.entity, artifact.project, artifact.collection):
            other.aliases = [alias for alias in other.aliases if alias not in aliases]
        artifact.aliases += aliases

    def _use(self, a: Mapping[str, Any]) -> dict[str, Any]:
        artifact = self.artifacts[a["artifactID"]]
        run = self.runs[(a["entityName"], a["projectName"], a["runName"])]
        if artifact not in run.used:
            run.used.append(artifact)
        return {"artifact": self._artifact(artifact)}

    def _run_files(self, a: Mapping[str, Any]) -> dict[str, Any]:
        place = f"{self.base}/storage/runs/{a['entityName']}/{a['projectName']}/{a['runName']}"
        return {
            "runID": node_id("Run", a["runName"]),
            "uploadHeaders": [],
            "files": [{"name": name, "uploadUrl": f"{place}/{name}"} for name in a["files"]],
        }

    def _add_aliases(self, a: Mapping[str, Any]) -> dict[str, Any]:
        self._move(self.artifacts[a["artifactID"]], [x["alias"] for x in a["aliases"]])
        return {"success": True}

    def _delete_aliases(self, a: Mapping[str, Any]) -> dict[str, Any]:
        gone = {item["alias"] for item in a["aliases"]}
        artifact = self.artifacts[a["artifactID"]]
        artifact.aliases = [alias for alias in artifact.aliases if alias not in gone]
        return {"success": True}

    def _update(self, a: Mapping[str, Any]) -> dict[str, Any]:
        artifact = self.artifacts[a["artifactID"]]
        artifact.metadata = a.get("metadata", artifact.metadata)
        artifact.description = a.get("description", artifact.description)
        return {"artifact": self._artifact(artifact)}


def _project_info(entity: str, name: str) -> dict[str, Any]:
    return {
        "id": node_id("Project", "v1", name, entity),
        "internalId": node_id("ProjectInternalId", 1),
        "name": name,
        "entityName": entity,
        "entity": {"id": node_id("Entity", entity), "name": entity},
    }


def _edges(nodes: list[Any], versions: list[str] | None = None) -> dict[str, Any]:
    return {
        "totalCount": len(nodes),
        "pageInfo": {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False},
        "edges": [
            {
                "node": node,
                "cursor": str(number),
                **({"version": versions[number]} if versions else {}),
            }
            for number, node in enumerate(nodes)
        ],
    }
