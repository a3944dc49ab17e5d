"""Succeed when the role of this container is ready: it asks the probe port, as curl would.

Started every few seconds in every container, so it imports next to nothing.
"""

import os
import socket
import sys

TIMEOUT_S = 4.0  # below the health check's own, whose end would leave no reason

port = int(os.environ["PHOTO_HEALTH_PORT"])
try:
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        with connection.makefile("r", encoding="utf-8", newline="\r\n") as answer:
            status_line, *_, checks = answer.read().splitlines()
except (OSError, ValueError) as error:
    sys.exit(f"port {port}: {error}")
print(checks)  # kept by the engine: `docker inspect` shows why a role is not ready
sys.exit(" 200 " not in status_line)
