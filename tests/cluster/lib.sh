# shellcheck shell=bash
# What the scripts of this folder share: where things are, how they speak, and whether the cluster runs.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/cluster/settings
source "$here/settings"

cache=${SNOOP_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/snoop}/cluster
# shellcheck disable=SC2034 # used by the scripts that read this
registry=$NODE_IP:$REGISTRY_PORT
# shellcheck disable=SC2034
admin_kubeconfig=$STATE/etc/admin.kubeconfig

say() { printf 'cluster: %s\n' "$*" >&2; }
die() { printf 'cluster: %s\n' "$*" >&2; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || die "needs root (namespaces, mounts, cgroups): run it with sudo"; }

# The name of a part holds a hash of what it is made from, so that a changed recipe is a part that is not there yet.
hash_of() { (cd "$here" && find "$@" -type f -print0 | sort -z | xargs -0 sha256sum; uname -m) | sha256sum | cut -c1-12; }

kube_part() { echo "$cache/kube-$(hash_of go)-$KUBERNETES_VERSION-$HELM_VERSION"; }
debs_part() { echo "$cache/debs-$(hash_of packages)"; }
pause_part() { echo "$cache/pause-$(hash_of pause.c)"; }

# Takes away parts of these kinds that no checkout has asked for in two weeks, but for those that run.
prune() {
  local kind part
  for kind in "$@"; do
    while IFS= read -r part; do
      grep -qsxF "$part" "$STATE"/parts/*.path || rm -rf "$part"
    done < <(find "$cache" -maxdepth 1 -name "$kind-*" -mtime +14)
  done
}

# A lock file lies in the cache, which stays: a lock that `down` removed would lock nobody out.
lock() {
  mkdir -p "$cache"
  exec 9>"$cache/$1.lock"
  flock -n 9 && return
  say "another run holds $cache/$1.lock: waiting for it"
  flock 9
}

start_time() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# Prints the PID of the cluster's first process if it runs. PID, start time and boot together name one process for
# ever; a PID alone may by now be somebody else's.
supervisor() {
  local pid start boot
  [ -e "$STATE/pid" ] && read -r pid start boot <"$STATE/pid" || return 1
  [ "$boot" = "$(cat /proc/sys/kernel/random/boot_id)" ] && [ "$start" = "$(start_time "$pid")" ] || return 1
  echo "$pid"
}

# One that was killed is there until all below it is gone, but has no memory, hence no program, any more.
living() { local pid; pid=$(supervisor) && readlink "/proc/$pid/exe" >/dev/null; }

is_up() { living && [ -e "$STATE/ready" ]; }
need_up() { is_up || die "the cluster is not up: run $here/up (or make cluster-up)"; }

# Installs what is missing. These are tools: none of them, nor what they depend on, has a service.
apt_install() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  DEBIAN_FRONTEND=noninteractive apt_get install -y --no-install-recommends "${missing[@]}"
}

# apt's lists may be missing, or name versions that the mirror has no more: then get them and try again.
apt_get() {
  set -- -q -o DPkg::Lock::Timeout=300 "$@"
  apt-get "$@" >"$cache/apt.log" 2>&1 9>&- && return
  say "apt-get update, because this failed: $(grep '^E:' "$cache/apt.log" | head -n 1)"
  apt-get -q update >"$cache/apt.log" 2>&1 9>&- && apt-get "$@" >"$cache/apt.log" 2>&1 9>&- && return
  tail -n 15 "$cache/apt.log" >&2
  die "apt-get $* failed (log: $cache/apt.log)"
}

# Runs a long command with its output in a log; says every 20 s that it still runs, and how far it is. The command does
# not inherit the lock: if this script is killed, it must not lock out the next one.
long() {
  local what=$1 log=$2 begun=$SECONDS pid
  shift 2
  "$@" >"$log" 2>&1 9>&- &
  pid=$!
  # shellcheck disable=SC2064 # this very process
  trap "kill $pid 2>/dev/null || true" EXIT
  trap 'exit 130' INT TERM # an interrupted script ends its command by the trap above
  while kill -0 $pid 2>/dev/null; do
    sleep 1
    [ $(((SECONDS - begun) % 20)) != 19 ] || say "$what: $((SECONDS - begun + 1)) s, $(wc -l <"$log") lines in $log"
  done
  trap - EXIT INT TERM
  wait $pid || { tail -n 20 "$log" >&2; die "$what failed (log: $log)"; }
  say "$what: done in $((SECONDS - begun)) s"
}
