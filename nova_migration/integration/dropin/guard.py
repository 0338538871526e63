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

"""The guarded writes: what Nova's own two functions are replaced by.

They write through the session that Nova has opened. The row is read with a
lock in the transaction that changes it, and the UPDATE names what was read,
because SQLite has no such lock.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import datetime
import functools
from typing import Any

from nova import exception
from nova.db.main import api
from nova.db.main import models as nova_models
from oslo_db import api as oslo_db_api
from oslo_db import exception as db_exc
from oslo_utils import timeutils
import sqlalchemy as sa

from nova_migration.conf import opts
from nova_migration.db import errors
from nova_migration.db import guard
from nova_migration.db import models
from nova_migration.integration.dropin import engines
from nova_migration.integration.dropin import evacuations
from nova_migration.integration.dropin import judge
from nova_migration.integration.dropin import objects
from nova_migration.integration.dropin import options
from nova_migration.integration.dropin import report
from nova_migration.integration.dropin.report import Result

_T = models.MIGRATIONS
_Values = Mapping[str, Any]
_Write = Callable[..., Any]

#: A report that the machine has taken up, whether the row moved or not.
_SAID = (Result.MOVED, Result.ABSORBED, Result.UNCHANGED)

# As Nova's migration_update has it, and what oslo.db does not translate.
_retry = oslo_db_api.wrap_db_retry(
    max_retries=5,
    retry_on_deadlock=True,
    exception_checker=errors.may_run_again,
)


def install() -> None:
    """Put the guard before Nova's functions; twice does no harm."""
    for name, wrap in (
        ('migration_create', _guarded_create),
        ('migration_update', _guarded_update),
    ):
        current = getattr(api, name)
        if not hasattr(current, 'nova_migration_guards'):
            guarded = functools.wraps(current)(wrap(current))
            vars(guarded)['nova_migration_guards'] = current
            setattr(api, name, guarded)


def _guarded_create(original: _Write) -> _Write:
    def migration_create(context: Any, values: _Values) -> Any:
        if not _is_guarded(context):
            return original(context, values)
        return _insert(context, values)

    return migration_create


def _guarded_update(original: _Write) -> _Write:
    def migration_update(
        context: Any, migration_id: int, values: _Values
    ) -> Any:
        if 'status' not in values or not _is_guarded(context):
            return original(context, migration_id, values)
        return _write(context, migration_id, values)

    return migration_update


def _is_guarded(context: Any) -> bool:
    api._check_db_access()
    engine = api.get_context_manager(context).writer.get_engine()
    return engines.goes_to_expanded(engine)


@_retry  # type: ignore[untyped-decorator]
@api.pick_context_manager_writer  # type: ignore[untyped-decorator]
def _insert(context: Any, values: _Values) -> Any:
    """Insert a row; return Nova's model.

    Nova's functions alone may do anything. What has a time of creation is a
    copy: a cross-cell move sets each field of the row that it copies, and
    nothing else sets this one.
    """
    is_copy = objects.seen() is None or 'created_at' in values
    return _loaded(context, add(context.session, values, is_copy=is_copy))


def add(session: Any, values: _Values, *, is_copy: bool) -> Any:
    """Insert a row in the form that is configured.

    :param values: by the names of Nova's columns
    :param is_copy: whether it may say what nobody knows
    :returns: the row's id
    :raises nova.exception.InstanceInvalidState: the status is refused
    """
    now = timeutils.utcnow()
    row = {**_defaults(), **_stored(values), 'state_changed_at': now}
    machine = judge.machine_of(row)
    asked = row.get('status')
    canonical = options.status_format() == opts.StatusFormat.CANONICAL
    verdict = _in_mode(judge.creation(machine, asked, is_copy=is_copy))
    row.update(_position(verdict, asked, canonical=canonical))
    key: Any = None
    if verdict.result != Result.REFUSED:
        inserted = session.execute(sa.insert(_T).values(row))
        (key,) = inserted.inserted_primary_key
        _supersede(session, values, {**row, 'id': key}, verdict)
    _tell(None, machine, None, asked, verdict, canonical)
    _refuse_if_told(verdict, values.get('instance_uuid'), None, asked)
    return key


def _supersede(
    session: Any, values: _Values, row: _Values, verdict: judge.Verdict
) -> None:
    """Take the evacuations for failed that a new one is in the place of.

    An error, not a failure: the conductor may have sent the row to its
    destination a moment ago. From an error the claim leads on, and a rebuild
    that goes on after all is seen.
    """
    if options.mode() == opts.Mode.OFF or 'created_at' in values:
        return
    if verdict.target is None or not verdict.target.start:
        return
    said = f'superseded by migration {row.get("uuid") or row["id"]}'
    for other in evacuations.superseded_by(session, row):
        _end(session, other, 'error', evacuations.is_unclaimed, said)


def _clean_up_others(session: Any, row: _Values) -> None:
    """Complete what the source host has cleaned up beside a row."""
    said = f'cleaned up with migration {row["uuid"] or row["id"]}'
    for other in evacuations.cleaned_up_with(session, row):
        _end(session, other, 'completed', evacuations.is_doomed, said)


def _end(
    session: Any,
    migration_id: int,
    status: str,
    still: Callable[[judge.Row], bool],
    said: str,
) -> None:
    """Move a row that nobody has asked about, if that holds of it still.

    :raises RetryRequest: it is another row by now
    """
    found = _locked(session, migration_id)
    row = judge.row_of(found)
    if not still(row):
        return
    verdict = judge.change(row, status)
    verdict = dataclasses.replace(verdict, why=f'It is {said}.')
    now = timeutils.utcnow()
    changes = _moved(row, verdict, status, found['state_reason'], now)
    changes['state_reason'] = guard.with_reason(found['state_reason'], said)
    _swap(session, found, changes)
    _tell(migration_id, row.machine, row, status, verdict, row.canonical)


def _defaults() -> dict[str, Any]:
    """Return what Nova's model gives a column that has no value."""
    return {
        column.name: column.default.arg
        if column.default.is_scalar
        else column.default.arg(None)
        for column in nova_models.Migration.__table__.c
        if column.default is not None
    }


@_retry  # type: ignore[untyped-decorator]
@api.pick_context_manager_writer  # type: ignore[untyped-decorator]
def _write(context: Any, migration_id: int, values: _Values) -> Any:
    change(context.session, migration_id, values)
    return _loaded(context, migration_id)


def change(session: Any, migration_id: int, values: _Values) -> None:
    """Change a row whose status is among the values.

    :raises nova.exception.MigrationNotFound: there is no such row
    :raises nova.exception.InstanceInvalidState: the status is refused
    :raises RetryRequest: oslo.db's, the transaction has to be done again
    """
    found = _locked(session, migration_id)
    row = judge.row_of({**found, **_machine_columns(values)})
    asked = values['status']
    verdict = judge.change(row, asked, objects.seen())
    if options.mode() == opts.Mode.OFF and asked == row.status:
        # Nova writes nothing, not even a time, where nothing differs.
        verdict = judge.Verdict(Result.UNCHANGED, verdict.why)
    verdict = _in_mode(verdict)
    if verdict.result != Result.REFUSED:
        _apply(session, found, row, verdict, values)
    _tell(migration_id, row.machine, row, asked, verdict, row.canonical)
    _refuse_if_told(verdict, found['instance_uuid'], row.status, asked)
    if verdict.result in _SAID and evacuations.is_completion(row, verdict):
        _clean_up_others(session, found)


def _apply(
    session: Any,
    found: _Values,
    row: judge.Row,
    verdict: judge.Verdict,
    values: _Values,
) -> None:
    """Change the row as a verdict says, and its other columns.

    :raises RetryRequest: it is another row by now
    """
    now = timeutils.utcnow()
    changes = _stored(values)
    asked = changes.pop('status')
    if changes:
        changes.setdefault('updated_at', now)
    changes.update(_moved(row, verdict, asked, found['state_reason'], now))
    if changes:
        _swap(session, found, changes)


def _stored(values: _Values) -> dict[str, Any]:
    """Return the values of a copied object as its columns hold them.

    Its times have a zone, and ``deleted`` is a number there.
    """
    stored = dict(values)
    for name, value in values.items():
        if isinstance(value, datetime.datetime):
            stored[name] = timeutils.normalize_time(value)
    if 'deleted' in stored:
        stored['deleted'] = int(stored['deleted'] or 0)
    return stored


def _machine_columns(values: _Values) -> dict[str, Any]:
    """Return what is saved together with the status and chooses a machine."""
    names = ('migration_type', 'cross_cell_move')
    return {name: values[name] for name in names if name in values}


def _locked(session: Any, migration_id: int) -> dict[str, Any]:
    query = sa.select(_T).where(_T.c.id == migration_id).with_for_update()
    row = session.execute(query).mappings().first()
    if row is None:
        raise exception.MigrationNotFound(migration_id=migration_id)
    return dict(row)


def _in_mode(verdict: judge.Verdict) -> judge.Verdict:
    """Return what becomes of a verdict in the configured mode."""
    if verdict.result in (Result.CREATED, Result.UNCHANGED):
        return verdict
    mode = options.mode()
    lenient = mode == opts.Mode.WARN and verdict.result == Result.REFUSED
    if lenient or mode == opts.Mode.OFF:
        asked = verdict.named or verdict.target
        return judge.Verdict(
            Result.LET_THROUGH, verdict.why, asked, verdict.event
        )
    return verdict


def _position(
    verdict: judge.Verdict, asked: str | None, *, canonical: bool
) -> dict[str, Any]:
    """Return the columns that say where a row is, in its form.

    A string that nobody knows has no canonical form.
    """
    target = verdict.target
    word = asked
    if target is not None and asked not in target.spellings:
        # The table knows better where this leads than whoever asks.
        word = target.legacy
    if not canonical or target is None:
        return {'status': word, 'state': None, 'legacy_status': None}
    return {
        'status': target.status,
        'state': target.name,
        'legacy_status': None if word == target.legacy else word,
    }


def _moved(
    row: judge.Row,
    verdict: judge.Verdict,
    asked: str | None,
    reasons: str | None,
    now: datetime.datetime,
) -> dict[str, Any]:
    """Return what a verdict changes; a reason alone is no change to Nova.

    Nova orders rows and times confirmations by ``updated_at``.
    """
    if verdict.result == Result.UNCHANGED:
        return {}
    if verdict.result == Result.ABSORBED:
        said = f"late '{asked}': {verdict.why}"
        if said in (reasons or ''):
            return {}
        return {'state_reason': guard.with_reason(reasons, said)}
    return {
        **_position(verdict, asked, canonical=row.canonical),
        'state_changed_at': now,
        'updated_at': now,
    }


def _swap(session: Any, found: _Values, changes: _Values) -> None:
    """Change the row that was read, if it still is that row.

    :raises RetryRequest: it is not; the whole unit has to be done again
    """
    read = (
        _T.c[name].is_(None)
        if found[name] is None
        else _T.c[name] == found[name]
        for name in ('state', 'status')
    )
    swap = sa.update(_T).where(_T.c.id == found['id'], *read)
    if session.execute(swap.values(changes)).rowcount != 1:
        raise db_exc.RetryRequest(db_exc.DBDeadlock())


def _loaded(context: Any, migration_id: int) -> Any:
    query = api.model_query(context, nova_models.Migration, read_deleted='yes')
    return query.populate_existing().filter_by(id=migration_id).one()


def _tell(
    migration_id: int | None,
    machine: Any,
    row: judge.Row | None,
    asked: str | None,
    verdict: judge.Verdict,
    canonical: bool,
) -> None:
    """Say what was asked for, unless nothing is guarded."""
    if options.mode() == opts.Mode.OFF:
        return
    stays = verdict.result in (Result.ABSORBED, Result.UNCHANGED)
    stays = stays or verdict.result == Result.REFUSED
    target = verdict.target.name if verdict.target else None
    report.tell(
        report.Transition(
            migration_id=migration_id,
            machine=machine.name,
            before=row.status if row else None,
            asked=asked,
            result=verdict.result,
            state=(row.state if row else None) if stays else target,
            event=verdict.event,
            canonical=canonical,
            why=verdict.why,
            contradicts=verdict.contradicts,
            replaced=verdict.named not in (None, verdict.target),
        )
    )


def _refuse_if_told(
    verdict: judge.Verdict,
    instance_uuid: str | None,
    status: str | None,
    asked: str | None,
) -> None:
    """Raise what the API turns into 409, and a conductor can send on.

    :raises nova.exception.InstanceInvalidState: the status is refused
    """
    if verdict.result == Result.REFUSED:
        raise exception.InstanceInvalidState(
            instance_uuid=instance_uuid,
            attr='migration status',
            state=status,
            method=f"set it to '{asked}'",
        )
