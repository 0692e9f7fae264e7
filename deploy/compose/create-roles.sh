#!/bin/sh
# Run by the PostgreSQL image when it creates the database: makes the three roles of docs/ACCESS.md, and the books' database.
set -eu
psql --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname=postgres \
  --set=owner="$(cat /run/secrets/owner-password)" \
  --set=service="$(cat /run/secrets/service-password)" \
  --set=reader="$(cat /run/secrets/reader-password)" <<'SQL'
create role pay_owner login password :'owner';
create role pay_service login password :'service';
create role pay_reader login password :'reader';
create database pay owner pay_owner encoding 'UTF8' template template0;
SQL
