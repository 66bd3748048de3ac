-- 0003: who did what to deployments and services, when, and on what evidence.

-- Written in the same transaction as what it tells. Old rows go when new ones come.
CREATE TABLE audit (
    seq         INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    actor       TEXT NOT NULL,              -- as the request said it
    action      TEXT NOT NULL,
    subject     TEXT NOT NULL,              -- a deployment's id, which may be gone by now
    detail      TEXT NOT NULL               -- JSON
);
CREATE INDEX audit_by_subject ON audit (subject);
CREATE INDEX audit_by_action ON audit (action);
