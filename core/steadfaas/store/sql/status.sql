-- name: page_end
-- The last of a page of unfinished invocations. Reads their index only.
SELECT max(seq) FROM (
    SELECT seq FROM invocation INDEXED BY invocation_unfinished
    WHERE status < 100 AND seq > ? ORDER BY seq LIMIT ?)

-- name: handlers
-- Unfinished invocations of a service in one page. Without the index this would read all that is retained.
SELECT handler, status, count(*), min(seq) FROM invocation INDEXED BY invocation_unfinished
WHERE status < 100 AND service = ? AND seq > ? AND seq <= ? GROUP BY handler, status

-- name: brief
-- What is shown of one of them.
SELECT id, service, key, handler, status, created_at FROM invocation WHERE seq = ?

-- name: lines
-- A page of the lines before the keys of a service, by key; the one with the lowest place holds it.
SELECT key, count(*), seq, min(place) FROM inbox WHERE service = ? AND key >= ? GROUP BY key ORDER BY key LIMIT ?

-- name: keys_with_state
-- The keys of a service that have state, and how many values each.
SELECT key, count(*) FROM state WHERE service = ? GROUP BY key ORDER BY key LIMIT ?
