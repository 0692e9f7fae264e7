#!/usr/bin/env bash
# Builds the service's image without pulling anything: on bases made of the Node that npm installed, the libraries it is linked
# to, and npm and busybox to build with. Usage: build.sh [TAG]
# Needs docker, busybox-static, npm, and what Node is linked to (libc6, libstdc++6, libgcc-s1, libatomic1).
set -euo pipefail

tag="${1:-gopherpay:test}"
project="$(cd "$(dirname "$0")/../.." && pwd)"
node="$(echo "$project"/node_modules/node-linux-*/bin/node)"
npm="$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")"
busybox="$(command -v busybox)"

stage="$(mktemp -d)"
trap 'rm -rf "$stage"' EXIT
run="$stage/run"
build="$stage/build"
mkdir -p "$run"/{etc,usr/local/bin} "$build"/{bin,etc/ssl/certs,usr/local/bin,usr/local/lib/node_modules}
install -d -m 1777 "$run/tmp"

install -m 755 "$node" "$run/usr/local/bin/node"
ldd "$node" | grep -oE '/[^ ]+\.so[^ ]*' | sort -u | while read -r library; do
  install -D -m 755 "$library" "$run$library"
done
printf 'root:x:0:0::/:/sbin/nologin\nnode:x:1000:1000::/tmp:/sbin/nologin\n' >"$run/etc/passwd"
printf 'root:x:0:\nnode:x:1000:\n' >"$run/etc/group"

install -m 755 "$busybox" "$build/bin/sh"
cp -R "$npm" "$build/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$build/usr/local/bin/npm"
install -D -m 755 "$busybox" "$build/usr/bin/env"
# The registry may be behind a proxy whose authority only this machine knows.
cp -L /etc/ssl/certs/ca-certificates.crt "$build/etc/ssl/certs/"

# The label is inherited, so that what earlier builds left behind can be found.
path='ENV PATH=/usr/local/bin:/usr/bin:/bin'
label='LABEL gopherpay.base=test'
authorities='ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt'
tar -C "$run" -c . | docker import --change "$path" --change "$label" - gopherpay-base:run
cp -Rl "$run"/. "$build"
tar -C "$build" -c . | docker import --change "$path" --change "$label" --change "$authorities" - gopherpay-base:build
# The classic builder: it needs no plug-in, and Debian's docker.io brings none.
DOCKER_BUILDKIT=0 docker build --quiet --build-arg BASE=gopherpay-base:run --build-arg BUILD_BASE=gopherpay-base:build \
  --tag "$tag" "$project"
docker image prune --force --filter label=gopherpay.base=test >/dev/null
