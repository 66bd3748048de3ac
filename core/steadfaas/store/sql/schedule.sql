-- name: arm
-- Something is due at a time.
INSERT OR IGNORE INTO timer (at, seq, completion) VALUES (?, ?, ?)

-- name: disarm
-- It is not, any more.
DELETE FROM timer WHERE at = ? AND seq = ? AND completion = ?

-- name: due
-- What is due by now, oldest first.
SELECT at, seq, completion FROM timer WHERE at <= ? ORDER BY at, seq, completion LIMIT ?

-- name: next_due
-- When to look again.
SELECT at FROM timer ORDER BY at LIMIT 1

-- name: listen
-- Tell this journal when the target completes.
INSERT OR IGNORE INTO listener (target, seq, completion, type) VALUES (?, ?, ?, ?)

-- name: listeners
-- Whom to tell of a result.
SELECT seq, completion, type FROM listener WHERE target = ? ORDER BY seq, completion

-- name: delete_listeners
-- They have been told.
DELETE FROM listener WHERE target = ?

-- name: expired
-- Records whose retention is over.
SELECT seq, service, key, kind FROM invocation WHERE expires_at IS NOT NULL AND expires_at <= ?
ORDER BY expires_at LIMIT ?

-- name: expired_journals
-- Journals whose retention is over while the record stays.
SELECT seq FROM invocation WHERE journal_expires_at IS NOT NULL AND journal_expires_at <= ?
ORDER BY journal_expires_at LIMIT ?

-- name: forget_journal
-- The journal is gone.
UPDATE invocation SET journal_expires_at = NULL WHERE seq = ?

-- name: next_expiry
-- When a record or a journal goes next.
SELECT min(at) FROM (
    SELECT min(expires_at) AS at FROM invocation WHERE expires_at IS NOT NULL
    UNION ALL SELECT min(journal_expires_at) FROM invocation WHERE journal_expires_at IS NOT NULL)
