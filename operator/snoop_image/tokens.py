"""How a registry wants to be asked: the challenges of a 401, and the tokens that answer them.

Sources: RFC 9110, 11.6.1 (WWW-Authenticate); distribution, docs/spec/auth/token.md and oauth.md.
"""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlunsplit

from snoop_image.credentials import Credential
from snoop_image.model import ImageError
from snoop_image.transport import BrokenError, Client, told_by

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 # RFC 9110's word for a word
_SCHEME = re.compile(rf"\s*,*\s*({_TOKEN})(?=\s*,|\s*\Z|\s+[^\s=])")
_PARAMETER = re.compile(rf'\s*,*\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}|[^\s,"]+))')
_ANSWER = 1 << 20


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in that a server offers; the scheme in lower case."""

    scheme: str
    parameters: dict[str, str]


def challenges(header: str) -> list[Challenge]:
    """Read a WWW-Authenticate header, several joined by commas perhaps. What cannot be read ends it."""
    found: list[Challenge] = []
    at = 0
    header = header[:8192]
    while at < len(header):
        if (match := _PARAMETER.match(header, at)) and found:
            quoted, bare = match.group(2), match.group(3)
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare
            found[-1].parameters[match.group(1).lower()] = value
        elif match := _SCHEME.match(header, at):
            found.append(Challenge(match.group(1).lower(), {}))
        else:
            break
        at = match.end()
    return found


def basic(credential: Credential) -> str:
    """Give the header of RFC 7617."""
    packed = base64.b64encode(f"{credential.username}:{credential.password}".encode())
    return f"Basic {packed.decode()}"


def authorizations(
    client: Client, offered: list[Challenge], known: list[Credential], scope: str, what: str
) -> Iterator[str]:
    """Give the Authorization headers to try: by each credential, anonymous last. ImageError if nothing can be tried."""
    bearer = next((one for one in offered if one.scheme == "bearer" and one.parameters.get("realm")), None)
    by_password = any(one.scheme == "basic" for one in offered)
    if bearer is None and not by_password:
        schemes = ", ".join(one.scheme for one in offered)[:100] or "none"
        raise ImageError(f"{what}: wants to be asked in a way that snoop does not know ({schemes})")
    refused = ""
    for credential in [*known, None]:
        if credential is not None and credential.registry_token:
            yield f"Bearer {credential.registry_token}"
        elif bearer is not None:
            token, refused = _token(client, bearer, credential, scope, what, refused)
            if token:
                yield f"Bearer {token}"
        elif credential is not None and credential.password:
            yield basic(credential)
    if refused:
        hint = "are the credentials right?" if known else "is it private? Log in, or give a pull secret"
        raise ImageError(f"{what}: the registry gives no token ({refused}): {hint}")


def _token(
    client: Client, challenge: Challenge, credential: Credential | None, scope: str, what: str, refused: str
) -> tuple[str, str]:
    realm = challenge.parameters["realm"]
    parts = client.check(realm, f"{what}: sends us for a token to")
    asked = {"service": challenge.parameters.get("service", ""), "scope": challenge.parameters.get("scope") or scope}
    asked = {name: value for name, value in asked.items() if value}
    who = f"{what}: tokens of {parts.netloc}"
    if credential is not None and credential.identity_token:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": credential.identity_token,
            "client_id": "snoop",
            **asked,
        }
        response = client.request(realm, who, form=form)
    else:
        query = urlencode([*parse_qsl(parts.query), *asked.items()])
        headers = {"Authorization": basic(credential)} if credential is not None else {}
        response = client.request(urlunsplit(parts._replace(query=query)), who, headers)
    if response.status != 200:
        return "", told_by(response)
    try:
        document = json.loads(response.whole(_ANSWER, who))
        token = document.get("token") or document.get("access_token")
    except (ValueError, AttributeError, RecursionError, BrokenError) as error:
        raise ImageError(f"{who}: cannot be read") from error
    finally:
        response.close()
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ImageError(f"{who}: hold no token")
    return token, refused
