# shellcheck shell=bash
# What the scripts of this folder share: where things are, and how they speak. To be sourced.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(cd "$here/../.." && pwd)
# shellcheck source=scripts/lib.sh
source "$checkout/scripts/lib.sh"
# shellcheck source=tests/kernels/settings
source "$here/settings"

cache=${SNOOP_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/snoop}/kernels

say() { printf 'kernels: %s\n' "$*" >&2; }
die() { printf 'kernels: %s\n' "$*" >&2; exit 125; }

# The suite that serves a kernel.
suite_of() { # KERNEL
  local entry
  for entry in "${KERNELS[@]}"; do
    [ "${entry%%:*}" != "$1" ] || { echo "${entry#*:}"; return; }
  done
  die "there is no kernel $1: there are ${KERNELS[*]%%:*}"
}

# A part's name holds a hash of its recipe, so that a changed recipe is a part that is not there yet.
root_part() { echo "$cache/root-$(echo "$RECIPE $ROOT_SUITE $ROOT_PACKAGES" | sha256sum | cut -c1-12)"; }
kernel_part() { echo "$cache/kernel-$1-$(echo "$RECIPE ${MODULES[*]}" | sha256sum | cut -c1-12)"; } # KERNEL

# An archive as the kernel unpacks it: /DIRECTORY becomes /.
archive() { # DIRECTORY
  (cd "$1" && find . -mindepth 1 -print0 | sort -z | cpio --quiet --null --create --format=newc --owner=0:0)
}
