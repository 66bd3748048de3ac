-- name: insert
-- The next number: the newest row always stays.
INSERT INTO audit (at, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)

-- name: trim
-- A few of the oldest, as far as they are beyond the newest so many, or from before a time.
DELETE FROM audit WHERE seq < (SELECT min(seq) FROM audit) + 10
    AND (seq <= (SELECT max(seq) FROM audit) - ? OR at < ?)

-- name: newest
-- A page of what happened, newest first.
SELECT seq, at, actor, action, subject, detail FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?

-- name: newest_of_action
-- The same of one action.
SELECT seq, at, actor, action, subject, detail FROM audit INDEXED BY audit_by_action
WHERE action = ? AND seq < ? ORDER BY seq DESC LIMIT ?

-- name: newest_of_subject
-- The same of one subject, and of one action if there is one.
SELECT seq, at, actor, action, subject, detail FROM audit INDEXED BY audit_by_subject
WHERE subject = ? AND action = ifnull(?, action) AND seq < ? ORDER BY seq DESC LIMIT ?
