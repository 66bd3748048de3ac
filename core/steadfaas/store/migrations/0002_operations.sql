-- 0002: what operators see and do: pauses, moved pins, restarts, events, times of entries.

-- Who asked, as operators read it (`Service/key/handler` of the caller, which may be gone by then).
ALTER TABLE invocation ADD COLUMN invoked_by_target TEXT;
-- The completed invocation that this one repeats.
ALTER TABLE invocation ADD COLUMN restarted_from BLOB;
-- 1: an operator wants it paused, as soon as its open attempt has ended.
ALTER TABLE invocation ADD COLUMN pausing INTEGER NOT NULL DEFAULT 0;
-- 1: suspended, and nothing but time (`due_at`) or a cancel can wake it.
ALTER TABLE invocation ADD COLUMN asleep INTEGER NOT NULL DEFAULT 0;

-- When an entry was stored; NULL in journals from before this migration.
ALTER TABLE journal ADD COLUMN at INTEGER;

-- A suspended invocation that waits for a sleep (among others): when the first of them ends.
CREATE TEMP TABLE first_wake AS SELECT seq, min(at) AS at FROM timer WHERE completion > 0 GROUP BY seq;
UPDATE invocation SET due_at = (SELECT at FROM first_wake WHERE first_wake.seq = invocation.seq)
WHERE status = 5;
DROP TABLE first_wake;

-- Covers what drain states and limits ask of everything unfinished.
DROP INDEX invocation_unfinished;
CREATE INDEX invocation_unfinished ON invocation (seq, status, deployment, due_at, asleep, service)
    WHERE status < 100;

-- What happened to an invocation beside its journal: failures that differ from the one before,
-- pauses, moved pins. `pos` is seq * 2^20 + a running number.
CREATE TABLE event (
    pos         INTEGER PRIMARY KEY,
    after_entry INTEGER NOT NULL,           -- journal length - 1 at that time
    at          INTEGER NOT NULL,
    type        TEXT NOT NULL,              -- TransientError, Paused, PinMoved
    body        TEXT NOT NULL               -- JSON
);

-- A change of a key's whole state that waits in the key's line (`inbox.seq`) behind running handlers.
CREATE TABLE state_change (
    seq         INTEGER PRIMARY KEY,
    version     TEXT,                       -- what the state must hash to; NULL: whatever it is
    state       TEXT NOT NULL               -- JSON: hexadecimal name -> hexadecimal value
);

-- For queries over what is retained, which may be a million rows with their results inside: counts,
-- groups and newest-first lists read these instead. Written once per invocation, when it completes,
-- and almost always at the end of its handler's stretch.
CREATE INDEX invocation_completed
    ON invocation (service, handler, created_at, key, kind, deployment) WHERE status = 100;
-- Those whose result does not plainly begin with a value: the failures, and a few more.
CREATE INDEX invocation_failed ON invocation (created_at)
    WHERE status = 100 AND substr(output, 1, 1) <> x'72';
