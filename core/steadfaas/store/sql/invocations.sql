-- name: insert
-- A newly accepted invocation; seq is chosen by the caller.
INSERT INTO invocation (seq, id, status, service, handler, key, kind, deployment, version, created_at,
    modified_at, attempt, started_at, entries, due_at, idempotency_key, invoked_by, invoked_by_target, restarted_from,
    completion_retention, journal_retention)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: save
-- All that may change before completion.
UPDATE invocation SET status = ?, deployment = ?, version = ?, modified_at = ?, attempt = ?, started_at = ?,
    entries = ?, failures = ?, retry_count = ?, due_at = ?, awaits = ?, asleep = ?, pausing = ?, failure = ?
WHERE seq = ?

-- name: complete
-- The result, and how long it and the journal are kept.
UPDATE invocation SET status = 100, modified_at = ?, completed_at = ?, output = ?, expires_at = ?,
    journal_expires_at = ?, entries = ?, attempt = ?, deployment = ?, version = ?, due_at = NULL, awaits = NULL,
    asleep = 0, pausing = 0, failure = ?
WHERE seq = ?

-- name: by_seq
-- One invocation with everything that is needed to go on, and when the last entry of its journal came.
SELECT seq, id, status, service, handler, key, kind, deployment, version, created_at, modified_at, attempt,
    started_at, entries, failures, retry_count, due_at, awaits, failure, idempotency_key, invoked_by,
    completion_retention, journal_retention, output, asleep, pausing, wants, wants_until,
    (SELECT at FROM journal WHERE pos = (seq << 20) + entries - 1)
FROM invocation WHERE seq = ?

-- name: outline_by_id
-- What a request about an invocation needs first.
SELECT seq, status, output, expires_at, completed_at, attempt FROM invocation WHERE id = ?

-- name: describe_by_id
-- What an operator wants to see.
SELECT seq, status, service, handler, key, deployment, version, created_at, modified_at, attempt, started_at,
    retry_count, due_at, failure, completed_at, output, idempotency_key, pausing, asleep, entries, invoked_by,
    invoked_by_target, restarted_from, wants, wants_until
FROM invocation WHERE id = ?

-- name: target_by_id
-- What an answer needs to know of the handler.
SELECT service, handler, idempotency_key, kind FROM invocation WHERE id = ?

-- name: delete
-- The record itself.
DELETE FROM invocation WHERE seq = ?

-- name: reserved
-- Every number up to here may have been used.
SELECT reserved FROM counter WHERE name = 'seq'

-- name: reserve
-- Reserve the next block of numbers.
UPDATE counter SET reserved = ? WHERE name = 'seq'

-- name: delete_old_attempts
-- Of an invocation that is tried without end, the first attempt and the latest are kept.
DELETE FROM attempt WHERE pos > ? AND pos <= ?

-- name: unfinished
-- Everything that recovery must look at, oldest first, a page at a time.
SELECT seq, status, service, wants FROM invocation WHERE status < 100 AND seq > ? ORDER BY seq LIMIT ?

-- name: count_waiting
-- How many wait for their turn: what the limit of queued invocations counts.
SELECT count(*) FROM invocation WHERE status < 100 AND status IN (1, 2)

-- name: wanting
-- Those that wait for a version, in the order in which they were accepted, a page at a time.
SELECT seq, service FROM invocation INDEXED BY invocation_wanting
WHERE status < 100 AND wants = ? AND seq > ? ORDER BY seq LIMIT ?

-- name: want
-- A new one waits for a version. Few do, so that no other pays for the columns.
UPDATE invocation SET wants = ?, wants_until = ? WHERE seq = ?

-- name: landed
-- The version is there: what its handler says about retention holds from now on.
UPDATE invocation SET wants = NULL, wants_until = NULL, completion_retention = ?, journal_retention = ? WHERE seq = ?

-- name: append
-- One journal entry.
INSERT INTO journal (pos, type, payload, at) VALUES (?, ?, ?, ?)

-- name: journal
-- One journal, in order.
SELECT type, payload FROM journal WHERE pos >= ? AND pos < ? ORDER BY pos

-- name: timed_journal
-- One journal, in order, with the time of each entry.
SELECT pos, type, payload, at FROM journal WHERE pos >= ? AND pos < ? ORDER BY pos

-- name: delete_journal
-- A journal that is no longer kept.
DELETE FROM journal WHERE pos >= ? AND pos < ?

-- name: add_attempt
-- An attempt that ended.
INSERT OR REPLACE INTO attempt (pos, deployment, started_at, ended_at, outcome) VALUES (?, ?, ?, ?, ?)

-- name: attempts
-- All attempts of one invocation that ended, in order.
SELECT pos, deployment, started_at, ended_at, outcome FROM attempt WHERE pos >= ? AND pos < ? ORDER BY pos

-- name: delete_attempts
-- Attempts go with the journal.
DELETE FROM attempt WHERE pos >= ? AND pos < ?

-- name: last_event
-- The running number for the next event follows from it.
SELECT max(pos) FROM event WHERE pos >= ? AND pos < ?

-- name: add_event
-- Something that happened to an invocation beside its journal.
INSERT INTO event (pos, after_entry, at, type, body) VALUES (?, ?, ?, ?, ?)

-- name: events
-- What happened to one invocation, in order.
SELECT pos, after_entry, at, type, body FROM event WHERE pos >= ? AND pos < ? ORDER BY pos

-- name: delete_events
-- Events go with the journal; of an invocation that fails without end, the latest are kept.
DELETE FROM event WHERE pos >= ? AND pos < ?
