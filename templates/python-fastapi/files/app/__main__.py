"""The process: 0 after a clean drain, 1 after a failure, 2 for a wrong configuration."""

import logging
import os
import sys

from . import config, identity, server, telemetry
from .health import Health
from .web import create_app

log = logging.getLogger(__name__)


def main() -> int:
    info = identity.info()
    try:
        settings = config.load(os.environ, identity.DEFAULT_PORT)
    except config.Invalid as error:
        telemetry.setup_logging("info")
        log.error("invalid configuration: %s", error)
        return 2
    telemetry.setup_logging(settings.log_level)
    flush = telemetry.setup_tracing(info, settings.trace_endpoint)
    try:
        sock = server.listen(settings.port)
    except OSError as error:
        log.error("listen", extra={"fields": {"error": str(error)}})
        return 1
    health = Health()
    server.Server(create_app(settings, info, health), settings, health).run(sockets=[sock])
    flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
