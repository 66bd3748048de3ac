-- name: all_deployments
-- Every registered endpoint reference, oldest first.
SELECT id, created_at, record FROM deployment ORDER BY created_at, id

-- name: all_revisions
-- Every service as every deployment serves it.
SELECT service, revision, deployment, manifest FROM service_revision ORDER BY service, revision

-- name: insert_deployment
-- A new endpoint reference.
INSERT INTO deployment (id, created_at, record) VALUES (?, ?, ?)

-- name: update_deployment
-- The same endpoint, discovered again; it keeps its id.
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

-- name: pinned_unfinished
-- What keeps a deployment from being drained. Reads the index of unfinished invocations only.
SELECT status, count(*) FROM invocation WHERE deployment = ? AND status < 100 GROUP BY status

-- name: unpinned_unfinished
-- What can still be routed to whichever deployment is newest when it starts.
SELECT service, count(*) FROM invocation WHERE deployment IS NULL AND status < 100 GROUP BY service
