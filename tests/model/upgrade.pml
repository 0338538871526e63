/*
 * The way forth and back of one cell database: expand, migrate, contract,
 * restore, drop, beside services that write, and a kill at any step.
 *
 * Each step here is one statement that the database carries out whole.
 * tests/model/test_model.py says what is checked and with which of
 *
 *   COUNT_THEN_DROP  as it was: the columns are dropped without a fence
 *   STALE_LOOK       as it was: contract looks twice into one snapshot
 *   ANONYMOUS_FENCE  every run's fence has the same name
 *   NO_LOCK          the commands are on two nodes of a Galera cluster
 *
 * doc/source/admin/upgrade.rst says what is left out.
 */

#define ROWS 2
#define NOBODY 0

/* What a dropped column leaves of a row: "completed", of which nobody knows
 * any more what it was. */
#define GENERIC 9

/* The columns and the two checks. A fence bears the name of a run. */
bool columns, check, stamped;
byte fence, runs;

/* Who is alone with the database. */
byte lock;

/* A row: in which form it is, what its state stands for, what its status
 * says, and what it has to say, by the last write that was not refused. */
typedef Row { bool there, canonical; byte state, status, want }
Row row[ROWS];

/* A program that knows of no states wrote over the status of row r. */
#define OVERWRITTEN(r) (row[r].canonical && row[r].status != GENERIC)
#define LEGACY(r) (row[r].there && !row[r].canonical)

/* The string that a way back would give row r. */
#define STRING(r) (row[r].canonical && row[r].status == GENERIC \
                   -> row[r].state : row[r].status)

#define SAID(r) (!row[r].there || STRING(r) == row[r].want)
#define HAS_STATE(r, s) (row[r].canonical && row[r].state == s \
                         && row[r].status == GENERIC)
#define HAS_STRING(r, s) (!row[r].canonical && row[r].status == s)

#define CONTRACTED (stamped && check && columns)

#define NO_STRING_LOST (SAID(0) && SAID(1))
#define NO_STATE_WITHOUT_COLUMN \
    (columns || !(row[0].canonical || row[1].canonical))
#define NO_LEGACY_ROW_CONTRACTED \
    (!CONTRACTED || !(LEGACY(0) || LEGACY(1) \
                      || OVERWRITTEN(0) || OVERWRITTEN(1)))

/* Whether the checks let a row be written in a form. */
#define TAKES_CANONICAL (columns && fence == NOBODY)
#define TAKES_LEGACY (!check)

proctype Safe() {
    assert(NO_STRING_LOST);
    assert(NO_STATE_WITHOUT_COLUMN);
#ifndef NO_LOCK
    assert(NO_LEGACY_ROW_CONTRACTED);
#endif
}

/* A service with the drop-in. It reads, decides, and then writes on the
 * condition of what it has read, in the form that the row has; it also creates
 * a row, in either form. */
proctype Service() {
    bool canonical;
    byte said;
    atomic { canonical = row[0].canonical; said = STRING(0) }
    d_step {
        if
        :: canonical && HAS_STATE(0, said) && TAKES_CANONICAL ->
            row[0].state = said + 1; row[0].want = said + 1
        :: !canonical && HAS_STRING(0, said) && TAKES_LEGACY ->
            row[0].status = said + 1; row[0].want = said + 1
        :: else /* a conflict or a refusal, of which it is told */
        fi
    }
    if
    :: d_step { TAKES_CANONICAL ->
        row[1].there = true; row[1].canonical = true; row[1].state = 1;
        row[1].status = GENERIC; row[1].want = 1 }
    :: d_step { TAKES_LEGACY ->
        row[1].there = true; row[1].status = 1; row[1].want = 1 }
    :: skip
    fi
}

/* A service of an old release, which writes over whatever is there. */
proctype Old() {
    byte r;
    select (r : 0 .. ROWS - 1);
    if
    :: d_step { LEGACY(r) && TAKES_LEGACY ->
        row[r].status = 5; row[r].want = 5 }
    :: d_step { row[r].canonical && !check && TAKES_CANONICAL ->
        row[r].status = 5; row[r].want = 5 }
    :: skip
    fi
}

/* Who is killed here loses the lock at once. What it has sent last may still
 * be carried out, by a server that does not know; so it makes one more step. */
#define STEP \
    if \
    :: dead -> goto killed \
    :: !dead \
    :: !dead -> dead = true; \
        if :: lock == _pid -> lock = NOBODY :: else fi \
    fi

inline take_back() {
    STEP;
    fence = NOBODY
}

/* An UPDATE of one row; batches are made of them. */
inline make_canonical(r) {
    STEP;
    d_step {
        if
        :: LEGACY(r) && TAKES_CANONICAL ->
            row[r].state = row[r].status; row[r].status = GENERIC;
            row[r].canonical = true
        :: else
        fi
    }
}

inline make_legacy(r) {
    STEP;
    d_step {
        if
        :: row[r].there && row[r].canonical && columns && TAKES_LEGACY ->
            row[r].status = STRING(r); row[r].canonical = false;
            row[r].state = 0
        :: else
        fi
    }
}

inline look() {
    d_step {
        found = LEGACY(0) || LEGACY(1) || OVERWRITTEN(0) || OVERWRITTEN(1)
    }
}

inline expand() {
    take_back();
    STEP;
    columns = true
}

inline migrate() {
    take_back();
    make_canonical(0);
    make_canonical(1)
}

inline contract() {
    take_back();
    STEP;
    if :: !columns -> goto done :: else fi;
    look();
    STEP;
    if :: found -> goto done :: else fi;
#ifdef STALE_LOOK
    /* A check that is there already ends no transaction, so the second look
     * is into the snapshot of the first. */
    d_step { again = !check; if :: columns -> check = true :: else fi };
#else
    d_step { again = true; if :: columns -> check = true :: else fi };
#endif
    STEP;
    if :: again -> look() :: else fi;
    STEP;
    if
    :: found -> check = false; goto done
    :: else -> stamped = true
    fi
}

inline restore() {
    take_back();
    STEP;
    d_step { check = false; stamped = false };
    make_legacy(0);
    make_legacy(1)
}

inline count() {
    STEP;
    found = row[0].canonical || row[1].canonical
}

inline remove() {
    fence = NOBODY; columns = false; check = false; stamped = false;
    row[0].canonical = false; row[1].canonical = false
}

inline drop() {
    restore();
#ifdef COUNT_THEN_DROP
    count();
    STEP;
    if
    :: found
    :: else -> d_step { remove() }
    fi
#else
    STEP;
    d_step {
        if
        :: columns ->
#ifndef ANONYMOUS_FENCE
            runs++;
#endif
            mine = runs + 1; fence = mine
        :: else
        fi
    };
    count();
    STEP;
    d_step {
        if
        :: !found && fence == mine && mine != NOBODY -> remove()
        :: else ->
            /* refused, or told that somebody else is at work */
            if :: fence == mine -> fence = NOBODY :: else fi
        fi
    }
#endif
}

/* An operator, who gives any commands, one after the other. */
proctype Operator() {
    bool dead, found, again;
    byte mine, given;
again_command:
    if
    :: given == COMMANDS -> goto gone
    :: else -> given++
    fi;
    dead = false; found = false; again = false; mine = NOBODY;
#ifndef NO_LOCK
    atomic { lock == NOBODY -> lock = _pid };
#endif
    if
    :: expand()
    :: migrate()
    :: contract()
    :: restore()
    :: drop()
    fi;
done:
killed:
    skip;
    d_step {
        if :: lock == _pid -> lock = NOBODY :: else fi;
        dead = false; found = false; again = false; mine = NOBODY
    };
    goto again_command;
gone:
    skip
}

/* It begins with a row of either form, and with or without contract. */
init {
    atomic {
        columns = true; row[0].there = true; row[0].want = 1;
        if
        :: row[0].status = 1
        :: row[0].canonical = true; row[0].state = 1; row[0].status = GENERIC;
            if :: check = true; stamped = true :: skip fi
        fi;
        run Service(); run Old(); run Operator(); run Operator(); run Safe()
    }
}
