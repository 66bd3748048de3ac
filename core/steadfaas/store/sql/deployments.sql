-- name: all_deployments
-- Every registered endpoint reference, oldest first.
SELECT id, created_at, record FROM deployment ORDER BY created_at, id

-- name: all_revisions
-- Every service as every deployment serves it.
SELECT service, revision, deployment, manifest FROM service_revision ORDER BY service, revision

-- name: retiring
-- Whether a deployment is on its way out, for those who are about to rely on it in the same transaction.
SELECT json_extract(record, '$.retiring') IS NOT NULL FROM deployment WHERE id = ?

-- name: insert_deployment
-- A new endpoint reference.
INSERT INTO deployment (id, created_at, record) VALUES (?, ?, ?)

-- name: update_deployment
-- The same endpoint, discovered again or changed; it keeps its id.
UPDATE deployment SET created_at = ?, record = ? WHERE id = ?

-- name: insert_revision
-- One service as a deployment serves it from now on.
INSERT INTO service_revision (service, revision, deployment, manifest) VALUES (?, ?, ?, ?)

-- name: delete_revisions
-- All that a deployment serves; not left to the foreign key, which a connection may not enforce.
DELETE FROM service_revision WHERE deployment = ?

-- name: delete_deployment
-- The endpoint reference itself.
DELETE FROM deployment WHERE id = ?

-- name: unfinished
-- What keeps deployments from being drained: a page behind a number, oldest first, with one text for each kind of
-- column. What waits for a version that has not landed needs none. The index holds all that is asked for, and three long texts are made faster than a row for each of them.
SELECT group_concat((seq << 8) | (status << 1) | asleep), group_concat(ifnull(due_at, '')),
    group_concat(ifnull(deployment, ''))
FROM (
    SELECT seq, status, asleep, due_at, deployment FROM invocation INDEXED BY invocation_unfinished
    WHERE status < 100 AND wants IS NULL AND seq > ? ORDER BY seq LIMIT ?)

-- name: pinned_to
-- The same of one deployment, counted: by status, and by whether time will wake it.
SELECT status, asleep, count(*) AS size, min(due_at), max(due_at)
FROM invocation INDEXED BY invocation_unfinished
WHERE status < 100 AND deployment = ? GROUP BY status, asleep, due_at IS NULL

-- name: first_pinned_to
-- The oldest of them.
SELECT seq FROM invocation INDEXED BY invocation_unfinished
WHERE status < 100 AND deployment = ? ORDER BY seq LIMIT ?

-- name: unpinned
-- What runs on whichever deployment is newest for its service (of a JSON list) when it starts.
SELECT seq, status, due_at FROM invocation INDEXED BY invocation_unfinished
WHERE status < 100 AND deployment IS NULL AND wants IS NULL AND service IN (SELECT value FROM json_each(?)) ORDER BY seq

-- name: briefs
-- How to call the invocations with these numbers (a JSON list).
SELECT i.seq, i.id, i.service, i.handler, i.key, i.created_at
FROM json_each(?) AS wanted CROSS JOIN invocation AS i ON i.seq = wanted.value

-- name: beyond_versions
-- What an endpoint with another range of protocol versions could not go on with, by version.
SELECT version, count(*) FROM invocation INDEXED BY invocation_unfinished
WHERE status < 100 AND deployment = ? AND version NOT BETWEEN ? AND ? GROUP BY version

-- name: needs
-- For how long unfinished invocations need these deployments (a JSON list): when the last of them is due, how many
-- are not due at any time, and when one of them last changed.
SELECT deployment, max(due_at), count(*) - count(due_at), max(modified_at)
FROM invocation INDEXED BY invocation_unfinished
WHERE status < 100 AND deployment IN (SELECT value FROM json_each(?)) GROUP BY deployment
