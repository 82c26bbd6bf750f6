"""The cluster's certificates and kubeconfigs, made by openssl.

`certificates.py DIR user NAME [GROUP…]` adds a client certificate and prints the path of its kubeconfig.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import settings

DAYS = "365"
CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth,serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class OpensslError(Exception):
    """openssl refused; the message is its own."""


def openssl(*arguments: str) -> None:
    done = subprocess.run(("openssl", *arguments), capture_output=True, text=True)
    if done.returncode:
        raise OpensslError(f"openssl {arguments[0]}: {done.stderr.strip()}")


class Authority:
    """A CA in a directory: `<name>.crt` and `<name>.key`. Made on first use."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self.directory = directory
        self.certificate = directory / f"{name}.crt"
        self.key = directory / f"{name}.key"
        self._config = directory / "openssl.cnf"
        self._config.write_text(CONFIG)
        if not self.certificate.exists():
            self._request(self.key, self.certificate, f"/CN=snoop-cluster-{name}", ("-extensions", "ca"))

    def issue(self, file: str, user: str, groups: Sequence[str] = (), alternatives: Sequence[str] = ()) -> None:
        """Writes `<file>.crt` and `<file>.key`. The user is the common name, the groups are organizations, as the API
        server reads them; alternatives are like `DNS:name` and `IP:address`."""
        for part in (user, *groups):
            if not part or set(part) & set("/+\n"):
                raise OpensslError(f"{part!r} cannot be in a certificate's subject")
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
        options = ["-CA", str(self.certificate), "-CAkey", str(self.key), "-extensions", "leaf"]
        if alternatives:
            options += ["-addext", "subjectAltName=" + ",".join(alternatives)]
        self._request(self.directory / f"{file}.key", self.directory / f"{file}.crt", subject, options)

    def _request(self, key: Path, certificate: Path, subject: str, options: Sequence[str]) -> None:
        openssl(
            *(
                "req",
                "-x509",
                "-config",
                str(self._config),
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ),
            *("-nodes", "-days", DAYS, "-subj", subject, "-keyout", str(key), "-out", str(certificate), *options),
        )
        key.chmod(0o600)


def kubeconfig(directory: Path, file: str, server: str) -> Path:
    """Writes `<file>.kubeconfig`, which holds its certificates: it works from wherever it is copied to."""

    def embedded(name: str) -> str:
        return base64.b64encode((directory / name).read_bytes()).decode()

    target = directory / f"{file}.kubeconfig"
    name = "snoop-cluster"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": embedded("ca.crt")}}],
        "users": [
            {
                "name": file,
                "user": {
                    "client-certificate-data": embedded(f"{file}.crt"),
                    "client-key-data": embedded(f"{file}.key"),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": file}}],
        "current-context": name,
    }
    target.touch(mode=0o600)
    target.write_text(json.dumps(content, indent=1))
    return target


def make_all(directory: Path, values: dict[str, str]) -> None:
    """All that the cluster's programs need: authorities, certificates, kubeconfigs, the service account key."""
    authority = Authority(directory)
    node, domain, address = values["NODE_NAME"], values["CLUSTER_DOMAIN"], values["NODE_IP"]
    services = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{domain}")
    addresses = ("127.0.0.1", address, values["SERVICE_API_IP"])
    alternatives = [f"DNS:{name}" for name in (*services, "localhost", node)] + [f"IP:{a}" for a in addresses]
    authority.issue("apiserver", "kube-apiserver", alternatives=alternatives)
    authority.issue("apiserver-kubelet", "kube-apiserver-kubelet-client", ["system:masters"])
    authority.issue("kubelet-server", node, alternatives=[f"DNS:{node}", f"IP:{address}"])
    Authority(directory, "front-proxy-ca").issue("front-proxy", "front-proxy-client")
    clients = {
        "admin": ("kubernetes-admin", ["system:masters"]),
        "controller-manager": ("system:kube-controller-manager", []),
        "scheduler": ("system:kube-scheduler", []),
        "kube-proxy": ("system:kube-proxy", []),
        "kubelet": (f"system:node:{node}", ["system:nodes"]),
        "coredns": ("system:coredns", []),
    }
    for file, (user, groups) in clients.items():
        authority.issue(file, user, groups)
        kubeconfig(directory, file, server(values))
    openssl(
        "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", str(directory / "sa.key")
    )
    openssl("pkey", "-in", str(directory / "sa.key"), "-pubout", "-out", str(directory / "sa.pub"))


def server(values: dict[str, str]) -> str:
    return f"https://{values['NODE_IP']}:{values['API_PORT']}"


def main(arguments: Sequence[str]) -> None:
    directory, command, name, *groups = arguments
    if command != "user" or not name.replace("-", "").replace(".", "").isalnum():
        raise SystemExit("certificates.py: a user's name is made of letters, digits, - and .")
    directory_path = Path(directory)
    Authority(directory_path).issue(f"user-{name}", name, groups)
    print(kubeconfig(directory_path, f"user-{name}", server(settings.load(directory_path / "settings"))))


if __name__ == "__main__":
    main(sys.argv[1:])
