-- name: calls
-- The calls that unfinished invocations of one page have recorded (types: a call, and one without an answer).
SELECT i.seq, i.deployment, j.type, j.payload
FROM invocation AS i INDEXED BY invocation_unfinished
CROSS JOIN journal AS j ON j.pos > (i.seq << 20) AND j.pos < ((i.seq + 1) << 20)
WHERE i.status < 100 AND i.seq > ? AND i.seq <= ? AND i.deployment IS NOT NULL AND j.type IN (?, ?)

-- name: not_begun
-- Those of a service that go to the newest version when they start, by handler, in one page.
SELECT handler, count(*) FROM invocation INDEXED BY invocation_unfinished
WHERE status < 100 AND seq > ? AND seq <= ? AND service = ? AND deployment IS NULL GROUP BY handler
