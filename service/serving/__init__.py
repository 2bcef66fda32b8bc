"""Serving: one socket, as many worker processes as configured, and a supervisor if there is more than one.

Sanic has a worker manager of its own; a SIGTERM that reaches it before every worker has reported hangs it at full
CPU (sanic #2997). Forked workers that share one listening socket need far less: the kernel hands connections out, and
those that a dying worker had not accepted yet wait for the others.
"""

from __future__ import annotations

import errno
import logging
import signal
import socket
from collections.abc import Callable

from service import __version__
from service.app import create_app
from service.config import Settings
from service.development import blocking
from service.development.landing import Landing
from service.errors import ConfigurationError
from service.serving.supervisor import Supervisor
from service.serving.worker import STOP_SIGNALS, work

logger = logging.getLogger("doable.serving")

BACKLOG = 1024


def bind(settings: Settings) -> socket.socket:
    """Reserve the address to listen on. Raises ConfigurationError if that is not possible."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise _unavailable(settings, error) from None
    return listener


def serve(settings: Settings, announce: Callable[[], None] | None = None, *,
          listener: socket.socket | None = None, development: Landing | None = None) -> int:  # fmt: skip
    """Serve until SIGTERM or SIGINT; return the process's exit code.

    `announce` is called when the socket listens, which is `listener` if it was bound before. In `development` a blocked
    event loop ends no process: a debugger may hold it. Raises ConfigurationError before anything is served.
    """
    app = create_app(settings, development)
    listener = listener or bind(settings)
    if development is not None:
        app.after_server_start(blocking.warn)
    # Threads inherit the mask, so this comes before the first of them: no thread may take the signals from those that
    # wait for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        listener.listen(BACKLOG)
    except OSError as error:  # another process was faster to listen on the same address
        raise _unavailable(settings, error) from None
    fields = {"address": settings.host, "port": settings.port, "workers": settings.web_concurrency,
              "version": __version__}  # fmt: skip
    logger.info("listening", extra={"fields": fields})
    if announce:
        announce()
    if settings.web_concurrency > 1:
        return Supervisor(app, listener, settings.web_concurrency, watched=development is None).run()
    work(app, listener, watched=development is None)
    return 0


def _unavailable(settings: Settings, error: OSError) -> ConfigurationError:
    if error.errno != errno.EADDRINUSE:
        return ConfigurationError(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.")
    other = settings.port + 1 if settings.port < 65535 else settings.port - 1  # noqa: PLR2004 - the last port there is
    return ConfigurationError(
        f"Port {settings.port} on {settings.host} is in use by another process. Stop that process, or choose another "
        f"port: PORT={other} make run, or PORT={other} doable run."
    )
