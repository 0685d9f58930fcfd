"""Secrets at rest: what datastores' credentials are kept as."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mayfly.kit.errors import Forbidden

_NONCE = 12


class Sealing:
    """AES-GCM under a key made of the server's secret. What was sealed for one owner opens for no other."""

    def __init__(self, secret: bytes) -> None:
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"mayfly datastore credentials").derive(secret)
        self._cipher = AESGCM(key)

    def seal(self, values: Mapping[str, str], owner: str) -> str:
        nonce = os.urandom(_NONCE)
        sealed = self._cipher.encrypt(nonce, json.dumps(dict(values)).encode(), owner.encode())
        return base64.b64encode(nonce + sealed).decode()

    def unseal(self, text: str, owner: str) -> dict[str, str]:
        """Raises Forbidden `SecretUnreadable`: it was sealed by a server with another secret, or for another owner."""
        data = base64.b64decode(text)
        try:
            return json.loads(self._cipher.decrypt(data[:_NONCE], data[_NONCE:], owner.encode()))
        except InvalidTag as error:
            raise Forbidden(
                "SecretUnreadable",
                f"The credentials of '{owner.rpartition('/')[2]}' were kept by a server with another secret.",
                remedy="Create the datastore again with its key.",
            ) from error
