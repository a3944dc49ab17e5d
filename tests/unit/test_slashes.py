from aiohttp import web

from photo_pipeline.api.routes import routes
from photo_pipeline.api.slashes import with_slashes
from photo_pipeline.metrics import Metrics


async def _handler(_: web.Request) -> web.Response:
    return web.Response()


def test_every_route_is_there_with_and_without_a_slash() -> None:
    table = with_slashes(
        [
            web.get("/a", _handler, allow_head=False),
            web.post("/b/{id}", _handler),
            web.get("/", _handler),
        ]
    )
    assert [(r.method, r.path) for r in table] == [
        ("GET", "/a"),
        ("GET", "/a/"),
        ("POST", "/b/{id}"),
        ("POST", "/b/{id}/"),
        ("GET", "/"),
    ]
    assert table[1].kwargs["allow_head"] is False
    assert all(route.handler is _handler for route in table)


def test_no_route_of_the_api_hides_another() -> None:
    table = routes(Metrics())
    spelled = [(route.method, route.path) for route in table]
    assert len(spelled) == len(set(spelled))
    web.Application().add_routes(table)
