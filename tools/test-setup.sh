#!/bin/bash
#
# Prepare MariaDB (or MySQL) and PostgreSQL for the functional tests: create
# the user openstack_citest with the password openstack_citest, and a database
# of the same name, on both. The names are OpenStack's convention; oslo.db
# looks for them, and the CI system calls this script before it runs the tests.
#
# The script may be run again at any time. It connects over TCP and needs the
# root user of both servers; set what differs from the defaults:
#
#   DB_HOST                127.0.0.1
#   DB_ROOT_PW             empty; the password of root on MariaDB, and of
#                          POSTGRES_ADMIN on PostgreSQL
#   POSTGRES_ADMIN         postgres
#
# As root, or as a user who may run sudo, it also finds servers of this machine
# that admit their administrator only through the local socket, as freshly
# installed packages do.

set -euo pipefail

DB_USER=openstack_citest
DB_PW=openstack_citest
DB_NAME=openstack_citest

DB_HOST=${DB_HOST:-127.0.0.1}
DB_ROOT_PW=${DB_ROOT_PW:-}
POSTGRES_ADMIN=${POSTGRES_ADMIN:-postgres}

function die {
    echo "test-setup: $*" >&2
    exit 1
}

function is_local {
    [[ $DB_HOST == 127.0.0.1 || $DB_HOST == localhost || $DB_HOST == ::1 ]]
}

# Run a command as another user, with whatever this machine has for that.
function run_as {
    local user=$1
    shift
    if [ "$(id -un)" = "$user" ]; then
        "$@"
    elif [ "$(id -u)" -eq 0 ]; then
        runuser -u "$user" -- "$@"
    elif command -v sudo >/dev/null; then
        sudo -n -u "$user" -- "$@"
    else
        return 1
    fi
}

MYSQL=$(command -v mariadb || command -v mysql) ||
    die "MariaDB: no client (mariadb or mysql) is installed"
command -v psql >/dev/null || die "PostgreSQL: no client (psql) is installed"

# The array MYSQL_ROOT becomes a command that reads SQL as MariaDB's root.
function find_mysql_root {
    export MYSQL_PWD=$DB_ROOT_PW
    MYSQL_ROOT=("$MYSQL" --no-defaults --connect-timeout=10
        --protocol=tcp -h "$DB_HOST" -u root)
    if "${MYSQL_ROOT[@]}" -e 'SELECT 1' >/dev/null 2>&1; then
        return 0
    fi
    is_local || return 1
    MYSQL_ROOT=(run_as root "$MYSQL" --no-defaults --protocol=socket -u root)
    "${MYSQL_ROOT[@]}" -e 'SELECT 1' >/dev/null 2>&1
}

# The array PSQL_ADMIN becomes a command that reads SQL as an administrator of
# PostgreSQL.
function find_psql_admin {
    export PGPASSWORD=$DB_ROOT_PW PGCONNECT_TIMEOUT=10
    PSQL_ADMIN=(psql -X -w -q -v ON_ERROR_STOP=1 -d postgres
        -h "$DB_HOST" -U "$POSTGRES_ADMIN")
    if "${PSQL_ADMIN[@]}" -c 'SELECT 1' >/dev/null 2>&1; then
        return 0
    fi
    is_local || return 1
    PSQL_ADMIN=(run_as "$POSTGRES_ADMIN"
        psql -X -w -q -v ON_ERROR_STOP=1 -d postgres)
    "${PSQL_ADMIN[@]}" -c 'SELECT 1' >/dev/null 2>&1
}

function setup_mysql {
    find_mysql_root ||
        die "MariaDB: cannot log in as root at $DB_HOST or its local socket"

    # An anonymous user would be matched before ours for connections from the
    # same host. The three host names make the user known over TCP and socket,
    # whatever name the server resolves the client's address to.
    local account sql
    sql="DROP USER IF EXISTS ''@'localhost', ''@'$(hostname)';"
    for account in localhost 127.0.0.1 %; do
        account="'$DB_USER'@'$account'"
        sql+="
            CREATE USER IF NOT EXISTS $account IDENTIFIED BY '$DB_PW';
            ALTER USER $account IDENTIFIED BY '$DB_PW';
            GRANT ALL PRIVILEGES ON *.* TO $account WITH GRANT OPTION;"
    done
    sql+="
        CREATE DATABASE IF NOT EXISTS $DB_NAME CHARACTER SET utf8mb4;"
    "${MYSQL_ROOT[@]}" <<<"$sql" ||
        die "MariaDB: cannot create the user or the database"

    MYSQL_PWD=$DB_PW "$MYSQL" --no-defaults --protocol=tcp -h "$DB_HOST" \
        -u "$DB_USER" -e 'SELECT 1' "$DB_NAME" >/dev/null 2>&1 ||
        die "MariaDB: $DB_USER cannot log in at $DB_HOST"
    echo "MariaDB: user and database $DB_USER are ready at $DB_HOST"
}

function setup_postgresql {
    find_psql_admin ||
        die "PostgreSQL: cannot log in as $POSTGRES_ADMIN at $DB_HOST" \
            "or its local socket"

    # The tests create a database each, and drop it again while a connection
    # may still be open, which takes a superuser.
    "${PSQL_ADMIN[@]}" <<EOF || die "PostgreSQL: cannot create the user"
SELECT 'CREATE ROLE $DB_USER' WHERE NOT EXISTS (
    SELECT FROM pg_roles WHERE rolname = '$DB_USER')
\gexec
ALTER ROLE $DB_USER WITH LOGIN SUPERUSER CREATEDB PASSWORD '$DB_PW';
SELECT 'CREATE DATABASE $DB_NAME OWNER $DB_USER ENCODING ''UTF8''
        TEMPLATE template0'
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '$DB_NAME')
\gexec
EOF

    PGPASSWORD=$DB_PW psql -X -w -q -h "$DB_HOST" -U "$DB_USER" -d "$DB_NAME" \
        -c 'SELECT 1' >/dev/null 2>&1 ||
        die "PostgreSQL: $DB_USER cannot log in at $DB_HOST"
    echo "PostgreSQL: user and database $DB_USER are ready at $DB_HOST"
}

setup_mysql
setup_postgresql
