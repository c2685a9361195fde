"""A MongoDB client in this process: mongomock's query engine over the documents of a `DocumentFile`.

mongomock changes documents in place and looks at every document for every query. Here each public read or
write is (part of) a transaction, documents are announced to the file before they change, and queries on the
fields that FireWorks asks for go through hash indexes.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from mongomock import aggregate
from mongomock.collection import Collection
from mongomock.database import Database
from mongomock.filtering import NOTHING, filter_applies, resolve_key, resolve_sort_key
from mongomock.helpers import patch_datetime_awareness_in_document
from mongomock.mongo_client import MongoClient
from mongomock.store import CollectionStore, DatabaseStore, ServerStore

from llzo_al.workflow.document_file import Document, DocumentFile, hashable

INDEXED_FIELDS = {
    "fireworks": ("fw_id", "state", "launches"),
    "launches": ("launch_id", "fw_id", "state"),
    "workflows": ("nodes",),
}


class FieldIndex:
    """Which documents may hold a value in one field, as the value itself or as an element of a list."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._holders: dict[Any, set[Any]] = {}
        self._values: dict[Any, tuple[Any, ...]] = {}

    def update(self, identity: Any, document: Mapping[str, Any]) -> None:
        """Take note of a new or changed document."""
        value = document.get(self._field)
        listed = value if isinstance(value, list) else [value]
        values = tuple(item for item in listed if _is_scalar(item))
        if self._values.get(identity) != values:
            self._forget_values(identity)
            self._values[identity] = values
            for item in values:
                self._holders.setdefault(item, set()).add(identity)

    def remove(self, identity: Any) -> None:
        """Forget a document."""
        self._forget_values(identity)

    def candidates(self, condition: Any) -> set[Any] | None:
        """Identities of all documents that can fulfil `condition`; None if the index does not help."""
        if isinstance(condition, Mapping):
            wanted = condition["$in"] if "$in" in condition else [condition.get("$eq")]
        else:
            wanted = [condition]
        if not isinstance(wanted, list) or not all(_is_scalar(item) for item in wanted):
            return None
        return set().union(*(self._holders.get(item, ()) for item in wanted))

    def _forget_values(self, identity: Any) -> None:
        for item in self._values.pop(identity, ()):
            holders = self._holders.get(item)
            if holders is not None:
                holders.discard(identity)
                if not holders:
                    del self._holders[item]


def _is_scalar(value: Any) -> bool:
    """Whether `value` is hashable and equal to nothing that is not."""
    return isinstance(value, int | float | str)


class _CollectionStore(CollectionStore):
    """The documents of one collection, announced to the file before they change."""

    def __init__(self, name: str, touch: Callable[[Any], None]) -> None:
        super().__init__(name)
        self._touch = touch
        self._fields = {field: FieldIndex(field) for field in INDEXED_FIELDS.get(name, ())}
        self._order: dict[Any, int] = {}
        self._count = 0

    def get(self, identity: Any) -> Document | None:
        document: Document | None = self._documents.get(identity)
        return document

    def put(self, identity: Any, document: Document | None) -> None:
        if document is None:
            self._documents.pop(identity, None)
            self._order.pop(identity, None)
            for index in self._fields.values():
                index.remove(identity)
        else:
            if identity not in self._order:
                self._count += 1
                self._order[identity] = self._count
            self._documents[identity] = document
            self.index(document)

    def index(self, document: Document) -> None:
        for index in self._fields.values():
            index.update(hashable(document["_id"]), document)

    def touch(self, document: Document) -> None:
        self._touch(hashable(document["_id"]))

    def candidates(self, query: Any) -> list[Document]:
        """Documents that can match `query`, in their natural order."""
        best: set[Any] | None = None
        for field, condition in _conditions(query):
            if field == "_id" and not isinstance(condition, Mapping | list | type(None)):
                found: set[Any] | None = {condition} if condition in self._documents else set()
            elif field in self._fields:
                found = self._fields[field].candidates(condition)
            else:
                continue
            if found is not None and (best is None or len(found) < len(best)):
                best = found
        if best is None:
            return list(self._documents.values())
        return [self._documents[identity] for identity in sorted(best, key=self._order.__getitem__)]

    def clear(self) -> None:
        self._documents.clear()
        self._order.clear()
        self._fields = {field: FieldIndex(field) for field in self._fields}

    def drop(self) -> None:
        for identity in list(self._documents):
            self._touch(identity)
        self.clear()
        super().drop()

    @property
    def is_empty(self) -> bool:
        return not self._documents

    @property
    def documents(self) -> Iterator[Document]:
        yield from self._documents.values()

    def __contains__(self, identity: Any) -> bool:
        return identity in self._documents

    def __getitem__(self, identity: Any) -> Document:
        document: Document = self._documents[identity]
        return document

    def __setitem__(self, identity: Any, document: Document) -> None:
        self._touch(identity)
        self.put(identity, document)

    def __delitem__(self, identity: Any) -> None:
        self._touch(identity)
        self.put(identity, None)

    def __len__(self) -> int:
        return len(self._documents)


def _conditions(query: Any) -> Iterator[tuple[str, Any]]:
    """Yield the conditions that each match of `query` fulfils."""
    if isinstance(query, Mapping):
        for field, condition in query.items():
            if field == "$and" and isinstance(condition, list):
                for part in condition:
                    yield from _conditions(part)
            else:
                yield field, condition


class _DatabaseStore(DatabaseStore):
    def __init__(self, name: str, touch: Callable[[str, Any], None]) -> None:
        super().__init__()
        self._name = name
        self._touch = touch

    def __getitem__(self, collection: str) -> _CollectionStore:
        store: _CollectionStore | None = self._collections.get(collection)
        if store is None:
            full_name = f"{self._name}.{collection}"
            store = _CollectionStore(collection, lambda identity: self._touch(full_name, identity))
            self._collections[collection] = store
        return store

    def rename(self, name: str, new_name: str) -> None:
        raise NotImplementedError(f"the embedded LaunchPad cannot rename collection {name} to {new_name}")

    def clear(self) -> None:
        for store in self._collections.values():
            store.clear()


class _ServerStore(ServerStore):
    """All documents in memory: the `Mirror` of a `DocumentFile`."""

    def __init__(self) -> None:
        super().__init__()
        self.touch: Callable[[str, Any], None] = _touched_before_opening

    def __getitem__(self, database: str) -> _DatabaseStore:
        store: _DatabaseStore | None = self._databases.get(database)
        if store is None:
            store = _DatabaseStore(database, lambda name, identity: self.touch(name, identity))
            self._databases[database] = store
        return store

    def _collection(self, full_name: str) -> _CollectionStore:
        database, _, collection = full_name.partition(".")
        return self[database][collection]

    def get(self, collection: str, identity: Any) -> Document | None:
        return self._collection(collection).get(identity)

    def put(self, collection: str, identity: Any, document: Document | None) -> None:
        self._collection(collection).put(identity, document)

    def clear(self) -> None:
        for store in self._databases.values():
            store.clear()


def _touched_before_opening(name: str, identity: Any) -> None:
    raise RuntimeError(f"{name}: document {identity} changed before its file was opened")


class _Collection(Collection):
    """mongomock's collection, with each operation in a transaction of the file."""

    def __init__(self, *args: Any, file: DocumentFile, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._file = file
        self._updated: list[Document] | None = None

    # Reads: mongomock's public ones end in these, find_one apart.

    def _get_dataset(self, *args: Any) -> Iterator[Document]:
        with self._file.transaction(write=False):
            return iter(list(super()._get_dataset(*args)))

    def count_documents(self, filter: Any, **kwargs: Any) -> int:
        with self._file.transaction(write=False):
            count: int = super().count_documents(filter, **kwargs)
            return count

    def find_one(self, filter: Any = None, *args: Any, **kwargs: Any) -> Document | None:
        """Return the first match; unlike mongomock's, without a copy of all the others."""
        projection = args[0] if args else kwargs.get("projection")
        sort = kwargs.get("sort") or []
        plain = len(args) <= 1 and set(kwargs) <= {"projection", "sort"} and isinstance(sort, list)
        if not plain or any(key.startswith("$") for key, _ in sort):
            found: Document | None = super().find_one(filter, *args, **kwargs)
            return found
        query = filter if isinstance(filter, Mapping) else {} if filter is None else {"_id": filter}
        with self._file.transaction(write=False):
            query = patch_datetime_awareness_in_document(query)
            if self._store.is_empty:
                filter_applies(query, {})  # raises for an invalid query
            for document in _sorted(self._store.candidates(query), sort):
                if filter_applies(query, document):
                    return cast(Document, self._copy_only_fields(document, projection, dict))
            return None

    def aggregate(self, pipeline: Sequence[Document], session: Any = None, **_: Any) -> Any:
        """Run a pipeline; a leading match uses the indexes, and dates kept as text are understood."""
        with self._file.transaction(write=False):
            stages = list(pipeline)
            query = stages.pop(0)["$match"] if stages and "$match" in stages[0] else {}
            documents = list(self.find(query))
            for stage in stages:
                fields = _date_fields(stage)
                if fields:
                    documents = [{**document, **_dates(document, fields)} for document in documents]
                else:
                    documents = list(aggregate.process_pipeline(documents, self.database, [stage], session))
            return aggregate.process_pipeline(documents, self.database, [], session)

    # Writes: mongomock's public ones end in these.

    def _insert(self, *args: Any, **kwargs: Any) -> Any:
        with self._file.transaction():
            return super()._insert(*args, **kwargs)

    def _delete(self, *args: Any, **kwargs: Any) -> Any:
        with self._file.transaction():
            return super()._delete(*args, **kwargs)

    def _find_and_modify(self, *args: Any, **kwargs: Any) -> Any:
        with self._file.transaction():
            return super()._find_and_modify(*args, **kwargs)

    def bulk_write(self, *args: Any, **kwargs: Any) -> Any:
        with self._file.transaction():
            return super().bulk_write(*args, **kwargs)

    def drop(self, session: Any = None) -> None:
        with self._file.transaction():
            super().drop(session)

    def _update(self, *args: Any, **kwargs: Any) -> Any:
        with self._file.transaction():
            updated: list[Document] = []
            self._updated = updated
            try:
                return super()._update(*args, **kwargs)
            finally:
                self._updated = None
                for document in updated:
                    if hashable(document.get("_id")) in self._store:
                        self._store.index(document)

    def _iter_documents(self, filter: Any) -> Iterator[Document]:
        if self._store.is_empty:
            filter_applies(filter, {})  # raises for an invalid query
        # The first query of an update finds the documents that it changes; later ones look for duplicates.
        updated, self._updated = self._updated, None
        for document in self._store.candidates(filter):
            if filter_applies(filter, document):
                if updated is not None:
                    self._store.touch(document)
                    updated.append(document)
                yield document

    def _ensure_uniques(self, new_data: Document) -> None:
        self._store.index(new_data)
        super()._ensure_uniques(new_data)


def _sorted(documents: list[Document], sort: Sequence[tuple[str, int]]) -> list[Document]:
    """Documents in the order that mongomock gives them."""
    for key, direction in reversed(sort):
        ranks = _ranks([resolve_key(key, document) for document in documents])
        if ranks is not None:
            order = sorted(range(len(documents)), key=ranks.__getitem__, reverse=direction < 0)
            documents = [documents[place] for place in order]
    return documents


def _ranks(values: list[Any]) -> list[Any] | None:
    """Keys to sort `values` by, None if all are equal; plain ones, which compare fast, where possible."""
    if all(value is values[0] for value in values):
        return None
    kinds = {type(value) for value in values if value is not NOTHING and value is not None}
    if kinds <= {int, float} or (len(kinds) == 1 and kinds <= {str, datetime.datetime}):
        return [(0,) if value is NOTHING or value is None else (1, value) for value in values]
    return [resolve_sort_key("value", {"value": value}) for value in values]


def _date_fields(stage: Document) -> list[str]:
    """Fields that a stage of FireWorks' sorting turns from text into dates; mongomock cannot."""
    assignments = stage.get("$set")
    if not isinstance(assignments, Mapping):
        return []
    return [
        field
        for field, value in assignments.items()
        if isinstance(value, Mapping) and value.get("$dateFromString", {}).get("dateString") == f"${field}"
    ]


def _dates(document: Document, fields: Iterable[str]) -> Document:
    changed: Document = {}
    for field in fields:
        if isinstance(document.get(field), str):
            try:
                date = datetime.datetime.fromisoformat(document[field])
            except ValueError:
                continue
            changed[field] = date.astimezone(datetime.UTC).replace(tzinfo=None) if date.tzinfo else date
    return changed


class _Database(Database):
    def __init__(self, *args: Any, file: DocumentFile, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._file = file

    def get_collection(self, name: str, *_: Any, **__: Any) -> _Collection:
        collection: _Collection | None = self._collection_accesses.get(name)
        if collection is None:
            self._ensure_valid_collection_name(name)
            collection = _Collection(self, name=name, _db_store=self._store, file=self._file)
            self._collection_accesses[name] = collection
        return collection

    def drop_collection(self, name_or_collection: Any, session: Any = None) -> None:
        with self._file.transaction():
            super().drop_collection(name_or_collection, session)


class EmbeddedClient(MongoClient):
    """A client with MongoDB's interface whose databases live in one SQLite file.

    Parameters
    ----------
    path
        The SQLite file; created if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        server = _ServerStore()
        self.file = DocumentFile(path, server)
        server.touch = self.file.touch
        super().__init__(host="localhost", _store=server)

    def get_database(self, name: str | None = None, *_: Any, **__: Any) -> _Database:
        """Return the database called `name`."""
        if name is None:
            raise ValueError("the embedded LaunchPad has no default database")
        database: _Database | None = self._database_accesses.get(name)
        if database is None:
            database = _Database(self, name, _store=self._store[name], file=self.file)
            self._database_accesses[name] = database
        return database

    def close(self) -> None:
        """Close the file; the next operation opens it again."""
        self.file.close()
