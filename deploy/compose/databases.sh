#!/usr/bin/env bash
# Run by the image postgres when it makes its storage: a database for each service that keeps one, and a role that owns
# it. Nobody else can connect to it.
set -euo pipefail

create() { # SERVICE PASSWORD
  NAME=$1 PASSWORD=$2 psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv name NAME
\getenv password PASSWORD
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
SQL
}

create claims "$CLAIMBUS_CLAIMS_DATABASE_PASSWORD"
create reporting "$CLAIMBUS_REPORTING_DATABASE_PASSWORD"
create portal "$CLAIMBUS_PORTAL_DATABASE_PASSWORD"
create suggestions "$CLAIMBUS_SUGGESTIONS_DATABASE_PASSWORD"
