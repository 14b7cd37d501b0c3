#!/usr/bin/env bash
# Puts the real services that tests want into DIR, where the tests look: etcd, prometheus, promtool and kubectl, out of Debian's
# packages, rotel-agent, an OpenTelemetry collector, out of its Python package, and kube-apiserver. Does nothing for those that are
# there, or on the PATH. Prints DIR.
#
#   .ci/services.sh [DIR]     DIR: ${XDG_CACHE_HOME:-~/.cache}/vigy, where the tests look too
#
# The packages are unpacked, not installed: installed, those of etcd and Prometheus start a daemon each, and enable it for ever.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/vigy}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
work=$(mktemp -d "$dir/services.part.XXXXXX")
trap 'rm -rf "$work"' EXIT

while read -r program package; do
    if [[ -x $dir/$program ]] || command -v "$program" >/dev/null; then continue; fi
    if ! [[ -d $work/$package ]]; then
        # A machine whose package lists are empty, as a container's are, has none until the first update.
        (cd "$work" && { apt-get -qq download "$package" 2>/dev/null || { apt-get -qq update && apt-get -qq download "$package"; }; }) >&2
        dpkg-deb -x "$work/$package"_*.deb "$work/$package"
    fi
    mv "$work/$package/usr/bin/$program" "$dir/$program"
done <<'PROGRAMS'
etcd etcd-server
prometheus prometheus
promtool prometheus
kubectl kubernetes-client
PROGRAMS

if ! [[ -x $dir/rotel-agent ]] && ! command -v rotel-agent >/dev/null; then
    command -v pip >/dev/null || { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3-pip; } >&2
    # The wheel is unpacked, not installed: it carries the program.
    pip -q download --no-deps --only-binary=:all: --python-version 3.11 --platform "manylinux_2_34_$(uname -m)" -d "$work" rotel==0.0.1a15 >&2
    python3 -m zipfile -e "$work"/rotel-*.whl "$work/rotel"
    chmod +x "$work/rotel/rotel/rotel-agent"
    mv "$work/rotel/rotel/rotel-agent" "$dir/rotel-agent"
fi

command -v kube-apiserver >/dev/null || "$here/kube-apiserver.sh" "$dir" >/dev/null
echo "$dir"
