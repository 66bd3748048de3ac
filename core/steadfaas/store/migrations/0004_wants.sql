-- 0004: invocations that wait for a version which has not landed yet.

-- `key:value` as a deployment's metadata will have it; NULL as soon as the invocation is pinned there.
ALTER TABLE invocation ADD COLUMN wants TEXT;
-- Until when it waits. Before that, `due_at` is when it may start at the earliest, if that was asked for.
ALTER TABLE invocation ADD COLUMN wants_until INTEGER;

CREATE INDEX invocation_wanting ON invocation (wants, seq) WHERE status < 100 AND wants IS NOT NULL;

-- What waits for a version needs no deployment: drain states leave it out.
DROP INDEX invocation_unfinished;
CREATE INDEX invocation_unfinished ON invocation (seq, status, deployment, due_at, asleep, service, wants)
    WHERE status < 100;
