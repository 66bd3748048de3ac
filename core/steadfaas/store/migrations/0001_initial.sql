-- 0001: the first schema. Times are milliseconds since the Unix epoch; ids are raw bytes unless noted.

-- A registered endpoint reference. `record` is JSON: what it announced and how to reach it.
CREATE TABLE deployment (
    id          TEXT PRIMARY KEY,           -- dp_…
    created_at  INTEGER NOT NULL,
    record      TEXT NOT NULL
);

-- One service as one deployment serves it. The highest revision takes new requests.
CREATE TABLE service_revision (
    service     TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    deployment  TEXT NOT NULL REFERENCES deployment (id) ON DELETE CASCADE,
    manifest    TEXT NOT NULL,              -- JSON: the service as the manifest described it
    PRIMARY KEY (service, revision)
) WITHOUT ROWID;
CREATE INDEX service_revision_by_deployment ON service_revision (deployment);

-- One request, from acceptance to its retained result. `seq` is the order of acceptance.
CREATE TABLE invocation (
    seq             INTEGER PRIMARY KEY,
    id              BLOB NOT NULL UNIQUE,
    status          INTEGER NOT NULL,       -- machine.invocation.Status
    service         TEXT NOT NULL,
    handler         TEXT NOT NULL,
    key             TEXT,                   -- object or workflow key
    kind            INTEGER NOT NULL,       -- wire.manifest.HandlerKind
    deployment      TEXT,                   -- the pin: dp_…, and the protocol version that goes with it
    version         INTEGER,
    created_at      INTEGER NOT NULL,
    modified_at     INTEGER NOT NULL,       -- when anything of it last changed
    attempt         INTEGER NOT NULL DEFAULT 0,   -- number of the latest attempt; fences late answers
    started_at      INTEGER NOT NULL DEFAULT 0,   -- when it started
    entries         INTEGER NOT NULL DEFAULT 1,   -- journal length; entry 0 is the input
    failures        INTEGER NOT NULL DEFAULT 0,   -- in this stretch of attempts; the policy counts these
    retry_count     INTEGER NOT NULL DEFAULT 0,   -- failed attempts since the journal last grew
    due_at          INTEGER,                -- scheduled start or next retry
    awaits          BLOB,                   -- Suspension payload of a suspended invocation
    failure         TEXT,                   -- JSON: the last failed attempt
    idempotency_key TEXT,
    invoked_by      BLOB,                   -- calling invocation
    completion_retention INTEGER NOT NULL DEFAULT 0,  -- ms the result is kept
    journal_retention    INTEGER NOT NULL DEFAULT 0,  -- ms the journal is kept
    completed_at    INTEGER,
    output          BLOB,                   -- Output payload, once completed
    expires_at      INTEGER,                -- when the record goes
    journal_expires_at INTEGER              -- when the journal goes, if before the record
);
-- Partial, so that retained results cost recovery, limits and drain checks nothing.
CREATE INDEX invocation_unfinished ON invocation (seq, status, deployment) WHERE status < 100;
CREATE INDEX invocation_expiring ON invocation (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX invocation_journal_expiring ON invocation (journal_expires_at)
    WHERE journal_expires_at IS NOT NULL;

-- Journal entries. `pos` is seq * 2^20 + index: neighbours on disk, and a range for one invocation.
CREATE TABLE journal (
    pos         INTEGER PRIMARY KEY,
    type        INTEGER NOT NULL,           -- frame type
    payload     BLOB NOT NULL               -- exactly the protobuf bytes that were received
);

-- Attempts that ended. `pos` is seq * 2^20 + attempt number.
CREATE TABLE attempt (
    pos         INTEGER PRIMARY KEY,
    deployment  TEXT,                       -- NULL: none was there to try
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL,
    outcome     TEXT NOT NULL               -- completed, suspended, or an RT code
);

-- The line before each key. Its head holds the key; the others are pending.
CREATE TABLE inbox (
    service     TEXT NOT NULL,
    key         TEXT NOT NULL,
    place       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    PRIMARY KEY (service, key, place)
) WITHOUT ROWID;

-- What is due when. `completion` is a sleep's completion id, or 0: look at the invocation itself.
CREATE TABLE timer (
    at          INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    completion  INTEGER NOT NULL,
    PRIMARY KEY (at, seq, completion)
) WITHOUT ROWID;

-- Which journals receive an invocation's result. `type` is the completion's frame type.
CREATE TABLE listener (
    target      INTEGER NOT NULL,           -- seq that completes
    seq         INTEGER NOT NULL,           -- seq that is told
    completion  INTEGER NOT NULL,
    type        INTEGER NOT NULL,
    PRIMARY KEY (target, seq, completion)
) WITHOUT ROWID;

CREATE TABLE state (
    service     TEXT NOT NULL,
    key         TEXT NOT NULL,
    name        BLOB NOT NULL,
    value       BLOB NOT NULL,
    PRIMARY KEY (service, key, name)
) WITHOUT ROWID;

-- A workflow's promises. `payload` is NULL until completed: then value (failure = 0) or failure (1).
CREATE TABLE promise (
    service     TEXT NOT NULL,
    key         TEXT NOT NULL,
    name        TEXT NOT NULL,
    failure     INTEGER NOT NULL,
    payload     BLOB NOT NULL,
    PRIMARY KEY (service, key, name)
) WITHOUT ROWID;

-- Who waits for a promise.
CREATE TABLE promise_listener (
    service     TEXT NOT NULL,
    key         TEXT NOT NULL,
    name        TEXT NOT NULL,
    seq         INTEGER NOT NULL,
    completion  INTEGER NOT NULL,
    PRIMARY KEY (service, key, name, seq, completion)
) WITHOUT ROWID;

-- Numbers that must never be used twice (seq, place), reserved in blocks.
CREATE TABLE counter (
    name        TEXT PRIMARY KEY,
    reserved    INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO counter (name, reserved) VALUES ('seq', 0);
