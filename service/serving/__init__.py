"""Serve on one socket with the configured number of worker processes, and with a supervisor if there are several.

Sanic's own worker manager is not used: it hangs at full CPU if a SIGTERM arrives before every worker has reported
(sanic #2997). Forked workers that share one listening socket are simpler. The kernel distributes the connections. If a
worker dies, the other workers accept the connections that it had not accepted.
"""

from __future__ import annotations

import errno
import logging
import signal
import socket
import time
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
PORT_PATIENCE = 2.5  # seconds; the workers of a supervisor that was killed hold the port for 2.2 s at most


def bind(settings: Settings) -> socket.socket:
    """Bind a socket to the configured address, and wait for PORT_PATIENCE if the port is in use.

    Raises ConfigurationError if that fails.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    ends = time.monotonic() + PORT_PATIENCE
    while True:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE or time.monotonic() > ends:
                raise _unavailable(settings, error) from None
            time.sleep(0.05)
        else:
            return listener


def serve(settings: Settings, announce: Callable[[], None] | None = None, *,
          listener: socket.socket | None = None, development: Landing | None = None) -> int:  # fmt: skip
    """Serve until SIGTERM or SIGINT. Return the process's exit code.

    `announce` is called when the socket listens. `listener` is the socket, if it is already bound. In `development`, a
    blocked event loop does not end the process, because a debugger may have stopped it. Raises ConfigurationError for
    invalid settings, before the socket listens.
    """
    app = create_app(settings, development)
    listener = listener or bind(settings)
    if development is not None:
        app.after_server_start(blocking.warn)
    # Block the signals before the first thread starts, because threads inherit the mask. Otherwise a thread could
    # receive a signal for which another thread waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        listener.listen(BACKLOG)
    except OSError as error:  # another process has started to listen on the address since `bind`
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
    other = settings.port + 1 if settings.port < 65535 else settings.port - 1  # noqa: PLR2004 - the highest TCP port
    return ConfigurationError(
        f"Port {settings.port} on {settings.host} is in use by another process. Stop that process, or choose another "
        f"port: PORT={other} make run, or PORT={other} doable run."
    )
