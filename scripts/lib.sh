# What the scripts of this folder share. To be sourced from the checkout's root; needs bash.
# shellcheck shell=bash

# Debian's own interpreter: its bcc is built for no other. A python3 found on PATH may be another one.
# shellcheck disable=SC2034 # read by who sources this file
PYTHON=/usr/bin/python3

_started=$SECONDS

# Says what comes next, with the time since the start.
step() { printf '\033[1m[%3d:%02d] %s\033[0m\n' $(((SECONDS - _started) / 60)) $(((SECONDS - _started) % 60)) "$*" >&2; }

# Ends the script with one line.
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Runs a command as root.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "needs root: run as root, or install sudo ($*)"
  fi
}

# Installs those of the Debian packages that are not there yet.
apt_install() { # PACKAGE…
  local missing=() package
  for package in "$@"; do
    if ! dpkg-query --show --showformat '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed; then
      missing+=("$package")
    fi
  done
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  step "apt: ${missing[*]}"
  # Another apt may be at work: wait for it. The lists may be absent or old: try with what is there first.
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0
    install -y --no-install-recommends)
  as_root "${install[@]}" "${missing[@]}" >/dev/null 2>&1 || {
    as_root apt-get -qq -o DPkg::Lock::Timeout=300 update
    as_root "${install[@]}" "${missing[@]}" >/dev/null
  }
}

# Unpacks a Debian package into the cache and puts its programs on PATH: a package that would start a daemon is not
# installed.
apt_unpack() { # PACKAGE
  local place=${SNOOP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/snoop}/tools/$1 scratch
  if [ ! -d "$place" ]; then
    step "apt: $1, unpacked in $place"
    mkdir -p "$(dirname "$place")"
    scratch=$(mktemp -d "$place.XXXXXX")
    (cd "$scratch" && { apt-get -qq download "$1" || { as_root apt-get -qq update && apt-get -qq download "$1"; }; }) 2>/dev/null
    dpkg-deb -x "$scratch"/*.deb "$scratch/root"
    mv -T "$scratch/root" "$place" 2>/dev/null || [ -d "$place" ]
    rm -rf "$scratch"
  fi
  PATH=$place/usr/bin:$PATH
}

# The version that pyproject.toml declares.
project_version() { sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml | head -n 1; }

# docker if a daemon answers, else buildah (installed if need be); SNOOP_ENGINE overrides.
image_engine() {
  if [ -n "${SNOOP_ENGINE:-}" ]; then
    echo "$SNOOP_ENGINE"
  elif command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    echo docker
  else
    apt_install buildah >&2
    echo buildah
  fi
}

# Points KUBECONFIG, PATH and SNOOP_REGISTRY at a cluster: the user's, if KUBECONFIG names one, else this machine's own,
# brought up if need be. Sets cluster to `yours` or `ours`.
use_cluster() {
  local own
  # shellcheck source=tests/cluster/settings disable=SC2153
  own=$(. tests/cluster/settings && echo "$STATE")
  if [ -n "${KUBECONFIG:-}" ] && [[ $KUBECONFIG != "$own"/* ]]; then
    cluster=yours
    command -v kubectl >/dev/null || fail "KUBECONFIG is set, but there is no kubectl on PATH"
    kubectl get --raw /readyz >/dev/null || fail "KUBECONFIG=$KUBECONFIG: the cluster does not answer"
    if [ -z "${SNOOP_REGISTRY:-}" ] && { [ -z "${SNOOP_AGENT_IMAGE:-}" ] || [ -z "${SNOOP_OPERATOR_IMAGE:-}" ]; }; then
      fail "with a cluster of yours, say where its nodes pull images from: SNOOP_REGISTRY=registry.example.com/path" \
        "(this machine pushes there), or SNOOP_AGENT_IMAGE and SNOOP_OPERATOR_IMAGE if they are pushed already." \
        "Unset KUBECONFIG for a cluster on this machine"
    fi
    return
  fi
  # shellcheck disable=SC2034 # read by who sources this file
  cluster=ours
  unset KUBECONFIG
  # The cluster's own scripts read buildah's storage.
  export SNOOP_ENGINE=buildah
  tests/cluster/up
  eval "$(tests/cluster/env)"
}

# Which cluster kubectl speaks to.
cluster_address() { kubectl config view --minify --output jsonpath='{.clusters[0].cluster.server}'; }

# Pushes an image that was built here to where the cluster's nodes pull from; prints its reference by digest.
publish() { # NAME:TAG
  local digest
  if [ "$cluster" = ours ]; then
    # skopeo tells about its storage driver, every time.
    tests/cluster/push "localhost/$1" 2> >(grep -v 'level=info' >&2)
    return
  fi
  digest=$(mktemp)
  if [ "$(image_engine)" = docker ]; then
    docker tag "localhost/$1" "$SNOOP_REGISTRY/$1"
    docker push --quiet "$SNOOP_REGISTRY/$1" >&2
    docker inspect --format '{{index .RepoDigests 0}}' "$SNOOP_REGISTRY/$1"
  else
    buildah push --quiet --digestfile "$digest" "localhost/$1" "docker://$SNOOP_REGISTRY/$1" >&2
    echo "$SNOOP_REGISTRY/${1%:*}@$(cat "$digest")"
  fi
  rm -f "$digest"
}

# Builds the agent and the operator and makes them pullable: sets SNOOP_AGENT_IMAGE and SNOOP_OPERATOR_IMAGE, which are
# left alone if they are set.
provide_images() {
  local version
  version=$(project_version)
  if [ -z "${SNOOP_AGENT_IMAGE:-}" ] || [ -z "${SNOOP_OPERATOR_IMAGE:-}" ]; then
    scripts/images agent operator >&2
    step "pushing both images"
    SNOOP_AGENT_IMAGE=$(publish "snoop-agent:$version")
    SNOOP_OPERATOR_IMAGE=$(publish "snoop-operator:$version")
  fi
  export SNOOP_AGENT_IMAGE SNOOP_OPERATOR_IMAGE
}

# The chart's values for an image reference REPOSITORY@DIGEST or REPOSITORY:TAG.
image_values() { # PREFIX REFERENCE
  case $2 in
    *@*) printf '%s\n' --set "$1.repository=${2%@*}" --set "$1.digest=${2#*@}" ;;
    *) printf '%s\n' --set "$1.repository=${2%:*}" --set "$1.tag=${2##*:}" ;;
  esac
}

# Starts the script again as root where it is not: the cluster and its images are root's.
become_root() {
  [ "$(id -u)" -ne 0 ] || return 0
  command -v sudo >/dev/null || fail "needs root: run as root, or install sudo"
  exec sudo --preserve-env=KUBECONFIG,SNOOP_REGISTRY,SNOOP_AGENT_IMAGE,SNOOP_OPERATOR_IMAGE,SNOOP_ENGINE,SNOOP_CACHE \
    "$0" "$@"
}
