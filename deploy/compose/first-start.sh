#!/bin/sh
# Starts everything in compose.yaml: makes the secrets, the database and the first keys, in that order. It replaces nothing that is
# there, so it may be run again.
set -eu
cd "$(dirname "$0")/../.."
compose="${COMPOSE:-docker compose}"

# Other users of this machine cannot enter the folder. The files are readable, because each container reads them as a user of its
# own.
umask 022
mkdir -p secrets
chmod 700 secrets

for name in postgres owner service reader grafana; do
  file="secrets/$name-password"
  [ -s "$file" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$file"
done
for role in owner service reader; do
  # The network of the database is on this machine, and the server has no certificate.
  printf 'postgres://pay_%s:%s@postgres/pay?sslmode=disable' "$role" "$(cat "secrets/$role-password")" >"secrets/$role-url"
done

$compose build gopherpay
$compose run --rm migrate

# A service that other machines can reach starts only with a key.
make_key() {
  file="secrets/$1.key"
  [ -s "$file" ] && return
  $compose run --rm -T admin keys create "--name=$1" "--scopes=$2" --all-ledgers "--expires=$3" >"$file.new"
  mv "$file.new" "$file"
}
make_key office all 90d
make_key metrics metrics:read never

$compose up --detach
echo "GopherPay is at http://127.0.0.1:8080, with the key in secrets/office.key."
echo "Grafana is at http://127.0.0.1:3000: user admin, password in secrets/grafana-password."
