"""The small JSON bodies of requests."""

from typing import Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from photo_pipeline.errors import BodyTooLargeError, InvalidRequestError

BODY_BYTES: Final = 4096  # a few short names

Body = TypeVar("Body", bound=BaseModel)


async def read_body(request: web.Request, model: type[Body]) -> Body:
    """Return the body as *model*, one without any wishes if there is none.

    Raises BodyTooLargeError or InvalidRequestError.
    """
    body = await request.content.read(BODY_BYTES + 1)
    while len(body) <= BODY_BYTES and (more := await request.content.read(BODY_BYTES)):
        body += more
    if len(body) > BODY_BYTES:
        raise BodyTooLargeError(f"the body has more than {BODY_BYTES} bytes")
    try:
        return model.model_validate_json(body.strip() or b"{}")
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}"
            for e in error.errors(include_url=False)
        )
        raise InvalidRequestError(f"not what this call takes: {faults}") from error
