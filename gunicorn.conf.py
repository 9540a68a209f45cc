"""How gunicorn runs the service: gevent workers; every value has its reason here or in docs/architecture.md."""

from gevent import monkey

monkey.patch_all()  # before anything imports ssl or requests, also with --preload

from typing import TYPE_CHECKING, Any  # noqa: E402 # nothing may be imported before the patch

from config.settings import SettingsError, load  # noqa: E402

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.http.message import Request
    from gunicorn.workers.base import Worker

CLEAN_UP_SECONDS = 3.0  # with graceful_timeout still under the 30 s of platforms
MAX_DRAINED = 4 * 1024 * 1024  # bytes of a body that nobody read

try:
    _settings = load()
except SettingsError as error:
    raise SystemExit(f"kimi-gateway cannot start: {error}") from None

bind = f"0.0.0.0:{_settings.port}"
workers = _settings.web_concurrency
worker_class = "gevent"
worker_connections = 6000  # refusing is the application's: gunicorn's own limit is silence
backlog = 2048
keepalive = 5  # also the deadline of a request's headers
timeout = 60  # of the hub's heartbeat; a request has the deadlines of the settings
graceful_timeout = 25  # platforms kill 30 s after SIGTERM
max_requests = 0  # recycling the only worker is an outage while it drains
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
forwarded_allow_ips = "127.0.0.1"
forwarder_headers = ""  # a client's SCRIPT_NAME would move the path under a proxy's rules
control_socket_disable = True  # it is shared by all gunicorns of a user
accesslog = None  # the application writes one line for each request, without secrets
loglevel = _settings.log_level


def post_worker_init(worker: "Worker") -> None:
    """Let /readyz know that this worker has been told to stop."""
    application: Any = worker.wsgi
    application.extensions["is_draining"] = lambda: not worker.alive


def worker_exit(server: "Arbiter", worker: "Worker") -> None:
    """Let conversations be deleted whose answers have just ended."""
    del server
    application: Any = getattr(worker, "wsgi", None)
    if application is not None:
        application.extensions["finish_background"](CLEAN_UP_SECONDS)


def pre_request(worker: "Worker", req: "Request") -> None:
    """Give the application a way to close a connection whose body it will not read."""
    del worker
    body: Any = req.body
    body.force_close = req.force_close


def post_request(worker: "Worker", req: "Request", environ: dict[str, Any], resp: Any) -> None:  # noqa: ANN401
    """Close a connection whose body was left unread: gunicorn would read it to its end, however long that is."""
    del worker, environ, resp
    reader: Any = getattr(req.body, "reader", None)
    length = getattr(reader, "length", None)
    unread = length > MAX_DRAINED if length is not None else getattr(reader, "parser", None) is not None
    if unread:
        req.force_close()
