"""Signatures of webhooks, as Standard Webhooks 1.0.0 has them.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md:
HMAC-SHA256 (RFC 2104) over id, timestamp and raw body. Receivers have a library for it in most
languages, or write ten lines.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

KEY_PREFIX: Final = "whsec_"


def signing_key(secret: str) -> bytes:
    """Return the key that *secret* stands for.

    Behind ``whsec_`` it is base64, as the specification has it; any other text is taken as its
    UTF-8 bytes. Raises ValueError when what follows the prefix is not base64.
    """
    if not secret.startswith(KEY_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(KEY_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"what follows {KEY_PREFIX} is not base64") from None


def signed_headers(
    key: bytes, *, webhook_id: str, timestamp: int, body: bytes
) -> Mapping[str, str]:
    """Return the headers that vouch for *body*; *timestamp* in seconds since 1970, of this try."""
    content = b".".join((webhook_id.encode(), str(timestamp).encode(), body))
    signature = base64.b64encode(hmac.digest(key, content, sha256)).decode()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
