#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""Every error that the project raises for a caller to catch.

A message says what is wrong and what to do next; what a program needs to
know is on the exception as attributes of the keywords it was made with.
The errors of the vocabulary itself (``UnknownWord``, ``DeclarationError``)
are of the type ``ValueError`` and live in :mod:`nova_migration.states`.
"""

from typing import Any


class NovaMigrationError(Exception):
    """Base of all: a format filled by keywords, which stay readable."""

    msg_fmt = 'An unknown error occurred.'

    def __init__(self, message: str | None = None, **kwargs: Any):
        """Make the message, or take it as oslo.messaging sends it."""
        self.kwargs = kwargs
        super().__init__(message or self.msg_fmt % kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__['kwargs'][name]
        except KeyError:
            raise AttributeError(name) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), str(self), self.kwargs))


def _rebuild(
    kind: type[NovaMigrationError], message: str, kwargs: dict[str, Any]
) -> NovaMigrationError:
    return kind(message, **kwargs)


class MigrationNotFound(NovaMigrationError):
    """No row has this id or uuid; it may have been archived or purged."""

    msg_fmt = 'Migration %(migration_id)s could not be found.'


class MigrationNotFoundForInstance(MigrationNotFound):
    """The row exists, but for another instance."""

    msg_fmt = (
        'Migration %(migration_id)s not found for instance %(instance_id)s.'
    )


class MigrationNotFoundByStatus(MigrationNotFound):
    """The instance has no migration of this status."""

    msg_fmt = (
        'Migration not found for instance %(instance_id)s with status'
        ' %(status)s.'
    )


class MarkerNotFound(MigrationNotFound):
    """Paging starts after a row that is not there."""

    msg_fmt = 'Marker %(marker)s could not be found.'


class InvalidTransition(NovaMigrationError):
    """The machine has no such step from the state the migration is in."""

    msg_fmt = (
        "Migration %(migration_id)s is '%(state)s': event '%(event)s' is not"
        ' allowed from there (%(machine)s allows: %(allowed)s).'
    )


class TransitionConflict(NovaMigrationError):
    """Somebody else moved the row first; nothing was written."""

    msg_fmt = (
        "Migration %(migration_id)s was expected in state '%(expected)s' for"
        " event '%(event)s' but is '%(actual)s': somebody else moved it"
        ' first. Read it again before deciding what to do.'
    )


class OutcomeUnknown(NovaMigrationError):
    """The connection was lost while a write was being committed.

    For a move, ``migration_id``, ``event``, ``expected``, ``target`` and
    ``actual`` are there too, the last one None where it could not be read.
    """

    msg_fmt = (
        '%(what)s: whether it was carried out is not known, because the'
        ' connection to the database was lost while it was committed'
        ' (%(reason)s). Read the row again before deciding what to do.'
    )


class UnknownStatus(NovaMigrationError):
    """The row holds a status string that its type's machine does not know."""

    msg_fmt = (
        'Migration %(migration_id)s has the status %(status)r, which is not'
        ' a status of type %(migration_type)s: no event can be processed.'
        " Map it with 'nova-migration-manage db upgrade --migrate --map'."
    )


class StateAssigned(NovaMigrationError):
    """``status`` or ``state`` was assigned; only an event changes them."""

    msg_fmt = (
        "'%(field)s' cannot be assigned: use process_event() to move the"
        ' migration, or report_legacy_status() for a string of Nova.'
    )


class UnguardedWrite(NovaMigrationError):
    """A statement of Nova's model writes a status past every guard."""

    msg_fmt = (
        'The status of migrations is not written by a bulk INSERT or UPDATE,'
        ' which no machine can be asked about: nothing was'
        ' written. Save an object, of nova.objects or of the model in a'
        ' session.'
    )


class ObjectActionError(NovaMigrationError):
    """The object is not in a condition for what was asked of it."""

    msg_fmt = 'Object action %(action)s failed because: %(reason)s'


class InvalidPrimitive(NovaMigrationError):
    """What another service sent is not an object of this project."""

    msg_fmt = 'Not a primitive of a migration: %(reason)s.'


class DatabaseError(NovaMigrationError):
    """The database cannot be used as it is."""

    msg_fmt = '%(reason)s'


class DatabaseUnavailable(DatabaseError):
    """The server can't be reached, or refuses the connection."""

    msg_fmt = (
        'The database %(url)s cannot be opened: %(reason)s. Check [database]'
        ' connection, or give --database-connection.'
    )


class ConnectionLost(DatabaseUnavailable):
    """The server answered before, and does not any more."""

    msg_fmt = (
        'The connection to the database %(url)s was lost: %(reason)s. What'
        ' was committed before is kept: run the command again when the server'
        ' answers.'
    )


class NodeNotReady(ConnectionLost):
    """A node of a Galera cluster takes no statement for now."""

    msg_fmt = (
        'The Galera node %(url)s takes no statement now: %(reason)s. It has'
        ' lost the rest of its cluster, has not joined it yet, or stands'
        ' still for a backup. Run the command again when wsrep_ready is ON'
        ' there, or against another node.'
    )


class UnsupportedDatabase(DatabaseError):
    """The URL is not one, its driver is missing or its kind is unknown."""

    msg_fmt = 'The database URL cannot be used: %(reason)s.'


class UnknownSchema(DatabaseError):
    """A table has the name of Nova's but is not the one that is known."""

    msg_fmt = (
        "Table '%(table)s' is not the one of Nova 34 (2026.2): %(difference)s."
        " Run 'nova-manage db sync' of Nova 34 first; nothing was changed."
    )


class NotACell(DatabaseError):
    """The database is somebody else's, and has none of the tables."""

    msg_fmt = (
        'The database %(url)s is not the one of a Nova cell: it has no table'
        " '%(table)s', and looks like %(looks)s. Name the cell's with"
        ' [database] connection or --database-connection; nothing was'
        ' changed.'
    )


class EmptyDatabase(NotACell):
    """The database has no tables at all, or is a file that is not there."""

    msg_fmt = (
        'The database %(url)s %(looks)s: is it named right? Where it is,'
        " 'nova-migration-manage db upgrade --create' makes the tables;"
        ' nothing was changed.'
    )


class TableMissing(DatabaseError):
    """One of the two tables is there, and the other one is not."""

    msg_fmt = (
        "There is no table '%(table)s': restore it, or run 'nova-manage db"
        " sync' of Nova 34."
    )


class UnknownRevision(DatabaseError):
    """Another release, which is newer or is no release, was here."""

    msg_fmt = (
        "The table %(table)s names the revision '%(revision)s', which this"
        ' release does not know: run the command of the release that made'
        ' it, or of a newer one. Nothing was changed.'
    )


class ContradictoryRevisions(DatabaseError):
    """The version table holds what no run of a command leaves."""

    msg_fmt = (
        'What the table %(table)s holds (%(revisions)s) cannot be so:'
        ' %(reason)s. Nothing was changed. Delete its rows, and run'
        " 'nova-migration-manage db upgrade --expand' and, where it had been"
        ' contracted, --contract: each step looks at what is there already.'
    )


class StatementRefused(DatabaseError):
    """The server answered a statement with an error that has a remedy."""

    msg_fmt = 'The database refused: %(reason)s.%(advice)s'


class NotExpanded(DatabaseError):
    """The columns are not there yet."""

    msg_fmt = (
        "The database has not been expanded: run 'nova-migration-manage db"
        " upgrade --expand' first."
    )


class NovaNotKnown(DatabaseError):
    """A Nova without the machines opens a database that needs them.

    ``url``, ``why`` (what the database has) and ``difference`` (what is
    wrong with this Nova) are on the exception.
    """

    msg_fmt = (
        'The database %(url)s has %(why)s, and this Nova is not one that'
        ' nova_migration knows (%(difference)s). Nobody would find what Nova'
        " calls 'finished' and 'done', other moves would be taken for being"
        ' in progress, and each status would be written unchecked, or be'
        ' refused by the database after contract. Install a release of'
        ' nova_migration that knows this Nova, or run the Nova that it knows,'
        " or go back with 'nova-migration-manage db restore'. To have the"
        ' database opened nevertheless, set [nova_migration] on_unknown ='
        ' warn.'
    )


class LegacyRowsRemain(DatabaseError):
    """Contract would refuse rows that the table holds."""

    msg_fmt = (
        'Not canonical in %(table)s: %(count)d (%(examples)s). Run'
        " 'nova-migration-manage db upgrade --migrate' before --contract."
    )


class CanonicalRowsRemain(DatabaseError):
    """The columns cannot be removed: their states would be lost."""

    msg_fmt = (
        'Still canonical in %(table)s: %(count)d. Set [nova_migration]'
        ' status_format = legacy for every service, then run'
        " 'nova-migration-manage db restore' before --drop-columns; where it"
        " says that nothing is expanded, 'nova-migration-manage db upgrade"
        " --expand' before."
    )


class LegacyRowRefused(DatabaseError):
    """A legacy row was written to a database that has been contracted."""

    msg_fmt = (
        'The database has been contracted and takes canonical rows only: set'
        ' [nova_migration] status_format = canonical, or go back with'
        " 'nova-migration-manage db restore'."
    )


class AnotherAtWork(DatabaseError):
    """Another command changes the same database at the same time.

    ``reason`` says which, since when and from where, as far as is known.
    """

    msg_fmt = (
        "Another 'db upgrade' or 'db restore' is at work on %(url)s:"
        ' %(reason)s. Nothing is lost by that: run the command again when it'
        ' has ended, or wait for it with --wait SECONDS.'
    )


class RestoreAtWork(AnotherAtWork):
    """A state was written while the columns for it are being removed."""

    msg_fmt = (
        "A 'db restore --drop-columns' is at work on %(url)s: no row may be"
        ' given a state now. Set [nova_migration] status_format = legacy for'
        " every service; where that command was killed, 'db restore"
        " --drop-columns' ends what it began, and 'db upgrade' takes it back."
    )


class LockTimeout(DatabaseError):
    """A long transaction holds the table that DDL needs for a moment."""

    msg_fmt = (
        '%(table)s could not be locked within %(seconds)d seconds: a long'
        ' transaction or a backup holds it. Nothing was queued behind it;'
        ' run the command again when it has ended.'
    )


class BatchRefused(DatabaseError):
    """A batch met a conflict however often and however small it was tried."""

    msg_fmt = (
        'The rows of %(table)s after id %(low)d could not be changed in'
        ' %(tries)d tries (%(reason)s): somebody has locked the table, or is'
        ' in the way each time. What was done before is kept; run the command'
        ' again when it has ended.'
    )


class InvalidMapping(NovaMigrationError):
    """A ``--map`` argument cannot be carried out."""

    msg_fmt = "--map '%(mapping)s': %(reason)s."


class ScriptsMissing(NovaMigrationError):
    """The alembic scripts were not installed with the package."""

    msg_fmt = (
        'The alembic scripts are missing (looked in %(looked)s): install the'
        ' package from its wheel or an editable checkout.'
    )


class DrawingFailed(NovaMigrationError):
    """Graphviz could not draw."""

    msg_fmt = (
        "Graphviz's 'dot' could not be run (%(reason)s): install the graphviz"
        ' package, or use -f dot or -f mermaid.'
    )


class HypervisorError(NovaMigrationError):
    """A hypervisor cannot be asked, or said no."""

    msg_fmt = '%(reason)s'


class MonitorUnavailable(HypervisorError):
    """Nobody answers on a monitor's socket, or the connection ended."""

    msg_fmt = "The monitor of the %(side)s, '%(address)s': %(reason)s."


class CommandRefused(HypervisorError):
    """QEMU answered a command with an error."""

    msg_fmt = 'The %(side)s refused %(command)s: %(reason)s'


class CommandTimeout(HypervisorError):
    """QEMU did not answer in time; what became of the command is unknown."""

    msg_fmt = (
        'The %(side)s did not answer %(command)s within %(seconds)s seconds:'
        ' its main loop may be blocked, and the command may still be carried'
        ' out.'
    )


class UnsafeCommand(HypervisorError):
    """What was asked for could leave the guest running twice, or nowhere."""

    msg_fmt = '%(command)s was not sent: %(reason)s.'


class NotSettled(HypervisorError):
    """QEMU still cleans up behind an attempt that it called failed."""

    msg_fmt = (
        'The %(side)s still cleans up behind the last attempt after'
        ' %(seconds)s seconds; what touches its migration now may end it.'
    )
