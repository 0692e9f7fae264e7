#!/bin/sh
# Makes the database cluster at the first start, then becomes the server. Understands the official image's
# POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB, and passes its arguments on: `postgres -c max_connections=500`.
set -eu

: "${POSTGRES_USER:=postgres}"
: "${POSTGRES_PASSWORD:?Set POSTGRES_PASSWORD to the superuser's password.}"
: "${POSTGRES_DB:=$POSTGRES_USER}"

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
  initdb --pgdata="$PGDATA" --username="$POSTGRES_USER" --pwfile=/tmp/password \
    --auth-local=trust --auth-host=scram-sha-256 \
    --encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8
  rm /tmp/password
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  if [ "$POSTGRES_DB" != postgres ]; then
    # Single-user mode: no psql is at hand, and nobody can connect before the database exists.
    printf 'create database "%s"\n' "$POSTGRES_DB" | postgres --single -j -D "$PGDATA" postgres >/dev/null
  fi
fi

[ "$1" = postgres ] || exec "$@"
shift
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
