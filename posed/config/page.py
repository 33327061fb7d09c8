"""Where the live view is found in the network."""

from __future__ import annotations

import ipaddress
import re
import socket

from posed.config.sections import WebConfig


def page_url(web: WebConfig, hostname: str | None = None) -> str | None:
    """The live view's address as others in the network write it, with a slash at its end and no token.

    Args:
        web: says where it listens.
        hostname: this machine's, by which it is found where the live view listens on every address; None
            asks the system.

    Returns:
        None where nobody outside finds it: the name is a container's id, localhost or empty, or the address
        has a zone, which is of this machine alone.
    """
    address = ipaddress.ip_address(web.host)
    if not address.is_unspecified:
        if "%" in web.host:
            return None
        host = f"[{address}]" if address.version == 6 else str(address)
    else:
        name = (socket.gethostname() if hostname is None else hostname).partition(".")[0]
        # Docker and Podman call a container so that has no name of its own, nor the network of its machine.
        if name in ("", "localhost") or re.fullmatch(r"[0-9a-f]{12}", name):
            return None
        host = f"{name}.local"
    return f"http://{host}:{web.port}/"
