-- name: join_line
-- Stand in line for a key.
INSERT INTO inbox (service, key, place, seq) VALUES (?, ?, ?, ?)

-- name: head_of_line
-- Who holds the key.
SELECT seq FROM inbox WHERE service = ? AND key = ? ORDER BY place LIMIT 1

-- name: leave_line
-- Give up a place. Most leave from the head, where this finds them at once.
DELETE FROM inbox WHERE service = ? AND key = ? AND place = (
    SELECT place FROM inbox WHERE service = ? AND key = ? AND seq = ? ORDER BY place LIMIT 1)

-- name: set_state
-- Write one value.
INSERT INTO state (service, key, name, value) VALUES (?, ?, ?, ?)
ON CONFLICT (service, key, name) DO UPDATE SET value = excluded.value

-- name: get_state
-- Read one value.
SELECT value FROM state WHERE service = ? AND key = ? AND name = ?

-- name: all_state
-- The whole state of a key.
SELECT name, value FROM state WHERE service = ? AND key = ? ORDER BY name

-- name: state_names
-- The names under which a key has state.
SELECT name FROM state WHERE service = ? AND key = ? ORDER BY name

-- name: clear_state
-- Delete one value.
DELETE FROM state WHERE service = ? AND key = ? AND name = ?

-- name: clear_all_state
-- Delete the whole state of a key.
DELETE FROM state WHERE service = ? AND key = ?

-- name: get_promise
-- A promise that was completed.
SELECT failure, payload FROM promise WHERE service = ? AND key = ? AND name = ?

-- name: complete_promise
-- Write-once.
INSERT INTO promise (service, key, name, failure, payload) VALUES (?, ?, ?, ?, ?)

-- name: await_promise
-- Tell this journal when the promise is completed.
INSERT OR IGNORE INTO promise_listener (service, key, name, seq, completion) VALUES (?, ?, ?, ?, ?)

-- name: promise_listeners
-- Who waits for a promise.
SELECT seq, completion FROM promise_listener WHERE service = ? AND key = ? AND name = ? ORDER BY seq, completion

-- name: delete_promise_listeners
-- They have been told.
DELETE FROM promise_listener WHERE service = ? AND key = ? AND name = ?

-- name: clear_promises
-- A workflow's promises go with its record.
DELETE FROM promise WHERE service = ? AND key = ?

-- name: clear_promise_listeners
-- Nobody can be told any more.
DELETE FROM promise_listener WHERE service = ? AND key = ?

-- name: queue_state_change
-- A change of a key's state that waits in its line.
INSERT INTO state_change (seq, version, state) VALUES (?, ?, ?)

-- name: state_change
-- The change at this place of a line.
SELECT version, state FROM state_change WHERE seq = ?

-- name: delete_state_change
-- It was made, or dropped.
DELETE FROM state_change WHERE seq = ?
