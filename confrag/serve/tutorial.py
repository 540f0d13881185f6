"""Document management with the paths and the meaning of LazyLLM's own manager, on every store.

A response is ``{"code": 200, "msg": "success", "data": ...}``; an error has its HTTP status, and is a problem like all
others of the service. What else differs stands in docs/serving.md.
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from confrag.build.nodes import document_id
from confrag.errors import NotFoundError, UserError
from confrag.runtime.listing import DocumentInfo
from confrag.serve.documents import Id, Ids
from confrag.serve.problems import ProblemError
from confrag.serve.service import Service
from confrag.serve.uploads import allowed_roots, check_archive, check_size, inside, name_of, parse_metadatas

__all__ = ["router"]

DEFAULT_GROUP = "__default__"
"""LazyLLM's name of the group that every document is in."""

Scalar = bool | int | float | str
Metadata = Annotated[dict[str, Scalar | list[Scalar]], Field(max_length=1000)]
Limit = Annotated[int | None, Query(ge=0, le=10**9)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AddRequest(_Request):
    """Files on the machine of the service; `metadatas` is a list of objects as JSON, as a text or as it is."""

    files: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(min_length=1, max_length=10_000)]
    group_name: str | None = None
    metadatas: str | list[dict[str, Any] | None] | None = None


class FileGroupRequest(_Request):
    """Documents by their ids."""

    file_ids: Ids
    group_name: str | None = None


class MetadataRequest(_Request):
    """Documents by their ids, and values."""

    doc_ids: Ids
    kv_pair: Metadata


class DeleteMetadataRequest(_Request):
    """Documents by their ids; names of metadata, or the values that they must have. Neither: all of it."""

    doc_ids: Ids
    keys: list[str] | None = None
    kv_pair: Metadata | None = None


class ResetMetadataRequest(_Request):
    """Documents by their ids, and all that is to be known of them."""

    doc_ids: Ids
    new_meta: Metadata


class QueryMetadataRequest(_Request):
    """A document, and a name of its metadata, or all of it."""

    doc_id: Id
    key: str | None = None


def _done(data: Any = None) -> dict[str, Any]:
    return {"code": 200, "msg": "success", "data": data}


def _row(document: DocumentInfo, count: int) -> list[Any]:
    metadata = json.dumps(dict(document.metadata), ensure_ascii=False)
    base = PurePosixPath(document.name).name
    return [document.id, base, document.name, document.modified, metadata, document.status, count]


def router(service: Service) -> APIRouter:
    """The routes of a service. They run in threads: each looks at the folders of the corpus."""
    routes = APIRouter(tags=["documents, as in the tutorial"])
    settings, documents = service.settings, service.app.documents

    def rows(limit: int | None, group: str | None = None) -> list[list[Any]]:
        service.check_ready()
        if group not in (None, DEFAULT_GROUP, *documents.groups):
            raise NotFoundError(f"there is no node group '{group}'; known: {', '.join(documents.groups)}")
        every = group in (None, DEFAULT_GROUP)
        return [
            _row(document, sum(document.nodes.values()) if every else document.nodes.get(str(group), 0))
            for document in documents.list()
            if document.status != "deleting"
        ][:limit]

    @routes.get("/list_files", summary="The documents: id, file name, path, time, metadata, status, nodes")
    def list_files(limit: Limit = None, details: bool = True, alive: bool | None = None) -> dict[str, Any]:
        found = rows(limit)
        return _done(found if details else [row[0] for row in found])

    @routes.get("/list_kb_groups", summary="The node groups")
    def list_kb_groups() -> dict[str, Any]:
        return _done(list(documents.groups))

    @routes.get("/list_files_in_group", summary="The documents, with the number of their nodes in a group")
    def list_files_in_group(
        group_name: str | None = None, limit: Limit = None, alive: bool | None = None
    ) -> dict[str, Any]:
        return _done(rows(limit, group_name))

    @routes.post("/upload_files", summary="Add documents; override puts them in the place of those of their names")
    def upload_files(
        files: Annotated[list[UploadFile], File()],
        override: Annotated[bool | None, Query()] = None,
        metadatas: Annotated[str | None, Query()] = None,
        user_path: Annotated[str | None, Query()] = None,
        override_field: Annotated[bool | None, Form(alias="override")] = None,
        metadatas_field: Annotated[str | None, Form(alias="metadatas")] = None,
        user_path_field: Annotated[str | None, Form(alias="user_path")] = None,
    ) -> dict[str, Any]:
        service.check_ready()
        if len(files) > settings.max_files:
            raise ProblemError(413, f"{len(files)} files at once; at most {settings.max_files} (serve.max_files)")
        values = parse_metadatas(_json(metadatas_field or metadatas), len(files))
        names = [name_of(file.filename, user_path_field or user_path) for file in files]
        # All of them before one is kept: a request changes everything that it says, or nothing.
        for file, name, metadata in zip(files, names, values, strict=True):
            documents.check(name, metadata)
            check_size(name, file.size or 0, settings.max_upload_mb)
            check_archive(name, file.file, settings.max_unpacked_mb)
        replace = override_field if override_field is not None else bool(override)
        ids = [
            documents.add(file.file, name, override=replace, metadata=metadata, wait=False)
            for file, name, metadata in zip(files, names, values, strict=True)
        ]
        return _done([ids, ["success"] * len(ids)])

    @routes.post("/add_files", summary="Add files that lie on the machine of the service")
    def add_files(request: AddRequest) -> dict[str, Any]:
        service.check_ready()
        _only_default(request.group_name)
        values = parse_metadatas(_json(request.metadatas), len(request.files))
        roots = allowed_roots(service.app.compiled.corpus.paths, settings.add_from)
        places = [inside(path, roots) for path in request.files]
        for place, metadata in zip(places, values, strict=True):
            if place is not None:
                documents.check(place.name, metadata)
        present = documents.places()
        ids: list[str | None] = []
        for place, metadata in zip(places, values, strict=True):
            if place is None:
                ids.append(None)
            elif name := present.get(str(place)):
                ids.append(document_id(name))
                if ids[-1] in dict(documents.hidden()):
                    documents.restore(document_id(name), wait=False)
                if metadata:
                    documents.set_metadata(document_id(name), metadata, wait=False)
            else:
                ids.append(documents.add(place, metadata=metadata, wait=False))
        return _done(ids)

    @routes.post("/delete_files", summary="Take documents out")
    def delete_files(request: FileGroupRequest) -> dict[str, Any]:
        service.check_ready()
        _only_default(request.group_name)
        documents.delete(request.file_ids, wait=False)
        return _done([request.file_ids, ["success"] * len(request.file_ids)])

    @routes.post("/add_metadata", summary="Add values to metadata; with one that is there they make a list")
    def add_metadata(request: MetadataRequest) -> dict[str, Any]:
        service.check_ready()
        documents.add_metadata(request.doc_ids, request.kv_pair, wait=False)
        return _done()

    @routes.post("/delete_metadata_item", summary="Delete metadata by name or value; with neither, all of it")
    def delete_metadata_item(request: DeleteMetadataRequest) -> dict[str, Any]:
        service.check_ready()
        documents.delete_metadata(request.doc_ids, request.keys, request.kv_pair, wait=False)
        return _done()

    @routes.post("/update_or_create_metadata_keys", summary="Give values to metadata")
    def update_or_create_metadata_keys(request: MetadataRequest) -> dict[str, Any]:
        service.check_ready()
        documents.set_metadata(request.doc_ids, request.kv_pair, wait=False)
        return _done()

    @routes.post("/reset_metadata", summary="Give documents these metadata and no others")
    def reset_metadata(request: ResetMetadataRequest) -> dict[str, Any]:
        service.check_ready()
        documents.reset_metadata(request.doc_ids, request.new_meta, wait=False)
        return _done()

    @routes.post("/query_metadata", summary="The metadata of a document")
    def query_metadata(request: QueryMetadataRequest) -> dict[str, Any]:
        service.check_ready()
        known = documents.metadata(request.doc_id)
        if request.key is None:
            return _done(known)
        if request.key not in known:
            raise NotFoundError(f"the document has no metadata '{request.key}'; known: {', '.join(known) or 'none'}")
        return _done(known[request.key])

    return routes


def _only_default(group: str | None) -> None:
    if group not in (None, DEFAULT_GROUP):
        raise UserError(
            f"group_name = '{group}': a document is in all node groups at once; leave group_name out, or say "
            f"'{DEFAULT_GROUP}'"
        )


def _json(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text) if text.strip() else None
    except (ValueError, RecursionError) as error:
        raise UserError(f"metadatas is not JSON: {error}") from None
