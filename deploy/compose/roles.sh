#!/bin/sh
# Run once by the image of Postgres on an empty volume: the two roles that serve (docs/runbooks/database-roles.md).
set -eu
psql --username postgres --dbname "$POSTGRES_DB" --set ON_ERROR_STOP=1 \
  --set app="$APP_PASSWORD" --set system="$SYSTEM_PASSWORD" <<'SQL'
CREATE ROLE sba_app LOGIN NOBYPASSRLS PASSWORD :'app';
CREATE ROLE sba_system LOGIN NOBYPASSRLS PASSWORD :'system';
SQL
