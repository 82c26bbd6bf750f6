"""A small client of the API server, for the supervisor and the volume provisioner; standard library only."""

import base64
import http.client
import json
import ssl
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class ApiError(Exception):
    """The API server was not reached, or answered with an error status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}" if status else message)
        self.status = status


class Api:
    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._host = urlsplit(cluster["server"]).netloc
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._context = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile() as pair:  # ssl reads a client certificate from a file only
            pair.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
            pair.flush()
            self._context.load_cert_chain(pair.name)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> str:
        connection = http.client.HTTPSConnection(self._host, timeout=10, context=self._context)
        try:
            headers = {"Content-Type": "application/json", "Accept": "application/json, text/plain"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(0, f"API server at {self._host}: {error}") from error
        finally:
            connection.close()
        if response.status >= 400:
            raise ApiError(response.status, text)
        return text

    def get(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.call("GET", path))
        return answer

    def items(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(path)["items"]
        return found
