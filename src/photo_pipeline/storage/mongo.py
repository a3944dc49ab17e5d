"""The MongoDB client: opened once per process, its errors translated here.

Motor's upstream has moved on to PyMongo's own asynchronous API; only this folder knows.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import pymongo
import structlog
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import IndexModel
from pymongo.errors import (
    ConfigurationError,
    DocumentTooLarge,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteError,
)

from photo_pipeline.errors import SettingsError, StoreUnavailableError

log = structlog.get_logger()

TIMEOUT_MS: Final = 5000
"""Bound of every operation. Without it an operation on a frozen server hangs, whatever the
socket timeout says; with it a worker notices before its broker or its probe does."""

INDEXING_S: Final = 3600.0

# Too large, too large after the update, refused by a validator: waiting does not help.
_ABOUT_ONE_DOCUMENT: Final = frozenset({10334, 17419, 121})

Document = dict[str, Any]
Database = AsyncIOMotorDatabase[Document]


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into StoreUnavailableError, except those about one document.

    Whatever else a server answers (going down, changing its primary, having lost a cursor, not
    letting us in) is no fault of the photo at hand, and ends when somebody mends the server.
    """
    try:
        yield
    except (WriteError, DocumentTooLarge):
        raise
    except OperationFailure as error:
        if error.code in _ABOUT_ONE_DOCUMENT:
            raise
        raise StoreUnavailableError(f"MongoDB: {_one_line(error)}") from error
    except ServerSelectionTimeoutError as error:
        # No server to ask; of a second try the driver raises what went wrong with the first.
        raise StoreUnavailableError(f"MongoDB: {_one_line(error)}", in_doubt=False) from error
    except PyMongoError as error:
        raise StoreUnavailableError(f"MongoDB: {_one_line(error)}") from error


def _one_line(error: PyMongoError) -> str:
    # The driver appends a dump of the whole topology; its first clause tells the cause.
    return str(error).split(", Timeout:", 1)[0][:300]


async def create_indexes(
    database: Database, collection: str, indexes: Sequence[IndexModel]
) -> None:
    """Create *indexes* where they are missing, with an hour for it.

    Cut after TIMEOUT_MS, the server would throw away what it has built so far of an index of a
    large collection, every time. (The driver takes "no timeout" for "the client's timeout".)

    Raises StoreUnavailableError.
    """
    await check(database)  # given an hour, the driver would wait that long for a server
    with translated(), pymongo.timeout(INDEXING_S):
        await database[collection].create_indexes(list(indexes))


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """Yield the database that *url* names. Connects when first used.

    Writes are acknowledged by a majority and journalled, so that what was answered survives
    the loss of a server. Reads see only what a majority has: whoever acted upon anything else
    (acknowledged a message because its photo is done already) would have acted upon a write
    that the loss of the primary undoes. Works on a standalone server and on a replica set.
    """
    try:
        client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            url,
            tz_aware=True,
            timeoutMS=TIMEOUT_MS,
            w="majority",
            journal=True,
            readConcernLevel="majority",
            appname="photo-pipeline",
        )
    except (ConfigurationError, InvalidURI, ValueError):
        # Without the driver's words, which may quote the password.
        raise SettingsError("PHOTO_MONGO_URL: not a valid MongoDB URL") from None
    try:
        yield client.get_default_database()
    finally:
        client.close()


async def check(database: Database) -> None:
    """Raise StoreUnavailableError unless the server answers."""
    with translated():
        await database.command("ping")
