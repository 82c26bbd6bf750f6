"""Shows one pod's report, shortened, and checks that it holds what its nginx must have used.

Usage: demo_report.py NAMESPACE SELECTOR CONTAINER. Exits 1 if /etc/nginx/nginx.conf, one of nginx's shared libraries or
its ELF interpreter is not in the report.

The report is taken before anything is looked up in the container: a command that is run in it would be recorded too.
"""

import json
import subprocess
import sys
import time
from typing import Any

CONFIGURATION = "/etc/nginx/nginx.conf"
PROGRAM = "/usr/sbin/nginx"
REPORT = "/data/snoop-report.json"
AGENT = "snoop-agent"
SHOWN = 12
TIMEOUT = 60.0


def _kubectl(namespace: str, *arguments: str) -> str:
    done = subprocess.run(
        ["kubectl", "--namespace", namespace, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"demo: kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _fetch(namespace: str, pod: str, container: str) -> dict[str, Any]:
    """Wait until the report names the configuration file, and return it as it is then (or at the last try)."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        report: dict[str, Any] = json.loads(_kubectl(namespace, "exec", pod, "-c", AGENT, "--", "cat", REPORT))
        if CONFIGURATION in _files(report, container) or time.monotonic() > deadline:
            return report
        time.sleep(1)


def _files(report: dict[str, Any], container: str) -> list[str]:
    # The file on the node may not know the name yet: the operator tells it with the first acknowledgement.
    named = [one for one in report["containers"] if one["name"] == container]
    return sorted({path for one in named or report["containers"] for path in one["files"]})


def _expected(namespace: str, pod: str, container: str) -> list[str]:
    """Ask the dynamic loader what nginx is made of: its libraries and its ELF interpreter, each as it resolves.

    The kernel looks the interpreter up by itself, by a name that is in no call: the report holds the file that the
    name led to.
    """
    listing = _kubectl(namespace, "exec", pod, "-c", container, "--", "ldd", PROGRAM)
    interpreter = ""
    libraries = []
    for line in listing.splitlines():
        words = line.split()
        if "=>" in words and len(words) > 3:
            libraries.append(words[2])
        elif words[0].startswith("/"):
            # ldd prints PT_INTERP as the ELF file has it.
            interpreter = words[0]
    if not interpreter or not libraries:
        raise SystemExit(f"demo: cannot read what ldd says of {PROGRAM}:\n{listing}")
    asked = [interpreter, *libraries]
    resolved = _kubectl(namespace, "exec", pod, "-c", container, "--", "readlink", "-f", *asked).splitlines()
    return [CONFIGURATION, PROGRAM, *resolved]


def _shortened(report: dict[str, Any]) -> dict[str, Any]:
    def cut(values: list[Any], shown: int = SHOWN) -> list[Any]:
        return values if len(values) <= shown else [*values[:shown], f"… {len(values) - shown} more"]

    containers = [
        {
            **one,
            "files": cut(one["files"]),
            "missing": cut(one["missing"], 4),
            "observations": cut(
                [" ".join(f"{key}={value}" for key, value in seen.items()) for seen in one["observations"]], 3
            ),
        }
        for one in report["containers"]
    ]
    return {**report, "containers": containers}


def main() -> None:
    """Show, then check."""
    namespace, selector, container = sys.argv[1:]
    pod = _kubectl(
        namespace,
        "get",
        "pods",
        "-l",
        selector,
        "--field-selector",
        "status.phase=Running",
        "-o",
        "jsonpath={.items[0].metadata.name}",
    )
    report = _fetch(namespace, pod, container)
    print(f"$ kubectl --namespace {namespace} exec {pod} -c {AGENT} -- cat {REPORT}    (shortened)")
    print(json.dumps(_shortened(report), indent=2, ensure_ascii=False))
    files = set(_files(report, container))
    expected = _expected(namespace, pod, container)
    missing = [path for path in expected if path not in files]
    if missing:
        print(
            f"demo: the report lacks {len(missing)} of {len(expected)} files that nginx must have used:",
            file=sys.stderr,
        )
        print("\n".join(f"  {path}" for path in missing), file=sys.stderr)
        raise SystemExit(1)
    print(
        f"\nAll {len(expected)} files that nginx must have used are among the report's {len(files)}:",
        *expected,
        sep="\n  ",
    )


if __name__ == "__main__":
    main()
