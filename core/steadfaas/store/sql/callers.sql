-- name: unfinished
-- Unfinished invocations after one, in order, with what tells how long a look into their journals takes.
SELECT seq, deployment, service, handler, entries FROM invocation INDEXED BY invocation_unfinished
WHERE status < 100 AND seq > ? ORDER BY seq LIMIT ?

-- name: sizes
-- How long the calls in a part of a journal are.
SELECT pos, length(payload) FROM journal WHERE pos >= ? AND pos < ? AND type IN (?, ?) ORDER BY pos

-- name: calls
-- The calls in a part of a journal (types: a call, and one without an answer) in which a service's name stands somewhere.
SELECT type, payload FROM journal WHERE pos >= ? AND pos < ? AND type IN (?, ?) AND instr(payload, ?)
