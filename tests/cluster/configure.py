"""`configure.py TEMPLATES ETC`: fills the configuration files' $names from ETC/settings, and makes the certificates."""

import sys
from pathlib import Path
from string import Template

import certificates
import settings

PLACES = {"hosts.toml": "registries/_default/hosts.toml", "cni.conflist": "cni/10-pods.conflist"}


def main() -> None:
    templates, etc = Path(sys.argv[1]), Path(sys.argv[2])
    values = settings.load(etc / "settings")
    names = {key.lower(): value for key, value in values.items()}
    names["parts"] = values["STATE"] + "/parts"
    for template in templates.iterdir():
        target = etc / PLACES.get(template.name, template.name)
        target.write_text(Template(template.read_text()).substitute(names))
    certificates.make_all(etc, values)


if __name__ == "__main__":
    main()
