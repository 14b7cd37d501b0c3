#!/usr/bin/env bash
# Puts a real kube-apiserver (Kubernetes 1.20, what Debian 12 has the source of) into DIR and prints its path. Does nothing where it is.
#
#   .ci/kube-apiserver.sh [DIR]     DIR: ${XDG_CACHE_HOME:-~/.cache}/vigy, where the tests look too
#
# No distribution packages the server, so it is unpacked from $KUBE_APISERVER_PACKED (zstd, x86-64; or from ../shared/tools beside the
# checkout) where there is one, and otherwise built from Debian's source package: about 10 minutes on two cores, needs root for apt-get.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/vigy}
packed=${KUBE_APISERVER_PACKED:-$root/../shared/tools/kube-apiserver-1.20-linux-amd64.zst}

say() { printf 'kube-apiserver.sh: %s\n' "$*" >&2; }
# A binary that says its version is whole and of this machine's kind.
runs() { [[ -x $1 ]] && "$1" --version 2>/dev/null | grep -q '^Kubernetes '; }
install_packages() { DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null; }

# Everything happens beside the target and is renamed at the end: two at once, or one that is killed, leave no half binary behind.
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
bin=$dir/kube-apiserver
if runs "$bin"; then echo "$bin"; exit; fi
work=$(mktemp -d "$dir/kube-apiserver.part.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
part=$work/kube-apiserver

unpack() {
    [[ -f $packed && $(uname -sm) == "Linux x86_64" ]] || return 1
    say "unpacking $packed"
    command -v zstd >/dev/null || { apt-get -qq update && install_packages zstd; } || return 1
    zstd -q -d -f "$packed" -o "$part" && chmod +x "$part" && runs "$part" || { say "$packed gives no binary that runs"; return 1; }
}

# The source package's index has a list and a cache of its own: nothing in /etc changes.
download_source() {
    local apt=(-qq -o "Dir::Etc::SourceParts=$work/sources" -o Dir::Etc::SourceList=/dev/null -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache")
    mkdir -p "$work/sources" "$work/lists" "$work/cache"
    if [[ -f /etc/apt/sources.list.d/debian.sources ]]; then
        sed 's/^Types: .*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >"$work/sources/debian.sources"
    else
        sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$work/sources/debian.list"
    fi
    apt-get "${apt[@]}" update
    (cd "$work" && apt-get "${apt[@]}" -o APT::Sandbox::User=root source --download-only kubernetes >&2)
}

build() {
    command -v apt-get >/dev/null || { say "building it needs Debian's apt-get"; return 1; }
    say "building it from Debian's source package"
    apt-get -qq update && install_packages golang-go
    download_source
    # The source is from before Go modules: it wants to lie in a GOPATH, under its own name.
    export GOPATH=$work/go GOCACHE=$work/gocache GO111MODULE=off CGO_ENABLED=0 GOFLAGS=
    local tree=$GOPATH/src/k8s.io/kubernetes
    mkdir -p "$tree"
    tar -xf "$work"/kubernetes_*.orig.tar.* -C "$tree" --strip-components=1
    # One package is generated, and not in the source: the OpenAPI description of every type that is marked for it.
    (
        cd "$tree"
        marked() { grep -rl --include='*.go' '+k8s:openapi-gen=' "$@" | xargs -n1 dirname | sort -u; }
        types=$({
            marked staging/src/k8s.io | sed 's,^staging/src/,k8s.io/kubernetes/vendor/,' | grep -vE 'code-generator|sample-'
            marked pkg cmd | sed 's,^,k8s.io/kubernetes/,'
        } | paste -sd,)
        go build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
        "$work/openapi-gen" --logtostderr --go-header-file hack/boilerplate/boilerplate.generatego.txt -O zz_generated.openapi \
            --input-dirs "$types" --output-package k8s.io/kubernetes/pkg/generated/openapi --output-base "$GOPATH/src" --report-filename "$work/violations"
        go build -ldflags '-s -w' -o "$part" ./cmd/kube-apiserver
    )
    runs "$part" || { say "the build gives no binary that runs"; return 1; }
}

unpack || build >&2
mv "$part" "$bin"
echo "$bin"
