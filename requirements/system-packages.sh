#!/usr/bin/env bash
# Sees that the few programs this repository needs from the system are there. As root on Debian or Ubuntu it
# installs what is missing, and says so; elsewhere it says what to install. It changes nothing when all is there.
# With `containers` it sees to a container engine as well, and to what makes an image where no registry is reached.
set -euo pipefail

python=${PYTHON:-python3}
needed=()

need() { command -v "$1" >/dev/null || needed+=("$2"); }

if command -v "$python" >/dev/null; then
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "filepath needs Python 3.11 or newer; $python is $("$python" --version 2>&1)." >&2
    echo "Name another one with: make setup PYTHON=/path/to/python3" >&2
    exit 1
  }
  # Debian ships Python without what `python3 -m venv` needs.
  "$python" -c 'import ensurepip, venv' 2>/dev/null || needed+=(python3-venv)
else
  needed+=(python3 python3-venv)
fi
need curl curl
need git git
need jq jq
need make make
need ps procps # what a command in a sandbox looks about with; here it sees this machine's programs
[[ -e /etc/ssl/certs/ca-certificates.crt || -e /etc/pki/tls/certs/ca-bundle.crt ]] || needed+=(ca-certificates)

if [[ ${1:-} == containers ]] && ! docker version >/dev/null 2>&1; then
  need podman podman
  need runc runc # unlike crun it takes every version of control groups
  need catatonit catatonit
  need iptables iptables
  need ip iproute2
  need debootstrap debootstrap
  [[ -x /usr/lib/podman/netavark ]] || needed+=(netavark)
fi

if ((${#needed[@]} == 0)); then
  exit 0
fi

if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
  echo "Installing system packages: ${needed[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  if { apt-get update && apt-get install -y --no-install-recommends "${needed[@]}"; } >"$log" 2>&1; then
    rm -f "$log"
    exit 0
  fi
  tail -n 20 "$log" >&2
  echo "apt-get failed; all of it is in $log." >&2
fi

echo "Install these first, as root: apt-get install ${needed[*]} (or your system's names for them)." >&2
exit 1
