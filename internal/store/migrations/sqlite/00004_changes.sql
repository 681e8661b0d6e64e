-- +goose Up
-- A batch is a file of orders, or of changes of orders given before.
ALTER TABLE batch ADD COLUMN kind TEXT NOT NULL DEFAULT 'orders' CHECK (kind IN ('orders', 'changes'));

-- Rows of change files. Their keys are of the same numbering as those of
-- orders, so that row errors and events serve both.
CREATE TABLE order_change (
	ref             INTEGER PRIMARY KEY, -- batch_no << 24 | row
	batch_no        BIGINT  NOT NULL,
	line            BIGINT  NOT NULL,
	live            INTEGER NOT NULL CHECK (live IN (0, 1)), -- to be made; never changes
	state           TEXT    NOT NULL CHECK (state IN ('rejected', 'duplicate', 'waiting', 'submitting', 'unknown', 'held',
		'submitted', 'applied', 'done', 'too_late', 'refused', 'unmatched')),
	issuer_id       TEXT    NOT NULL,
	order_id        TEXT    NOT NULL,
	type            TEXT    NOT NULL, -- D1's
	content_mac     BLOB,
	code            TEXT    NOT NULL DEFAULT '',
	reason          TEXT    NOT NULL DEFAULT '',
	order_ref       BIGINT  NOT NULL DEFAULT 0,
	order_attempts  INTEGER NOT NULL DEFAULT 0, -- of the order when the change was applied to our copy of it
	card_id         TEXT    NOT NULL DEFAULT '',
	attempts        INTEGER NOT NULL DEFAULT 0,
	asks            INTEGER NOT NULL DEFAULT 0,
	not_found       INTEGER NOT NULL DEFAULT 0,
	next_attempt_at BIGINT  NOT NULL DEFAULT 0,
	first_sent_at   BIGINT  NOT NULL DEFAULT 0,
	submitted_at    BIGINT  NOT NULL DEFAULT 0,
	finished_at     BIGINT  NOT NULL DEFAULT 0,
	session         TEXT    NOT NULL DEFAULT '',
	correlation_id  TEXT    NOT NULL DEFAULT '',
	operation_id    TEXT    NOT NULL DEFAULT '',
	last_event      BIGINT  NOT NULL DEFAULT 0,
	CHECK (batch_no = ref >> 24),
	CHECK (live = (state NOT IN ('rejected', 'duplicate'))),
	CHECK ((state = 'submitting') = (session <> ''))
);
CREATE INDEX change_of_order ON order_change (issuer_id, order_id, ref) WHERE live = 1;
-- What keeps a batch from settling, and the queue.
CREATE INDEX change_open ON order_change (batch_no, state, ref)
	WHERE state = 'waiting' OR state = 'submitting' OR state = 'unknown' OR state = 'held' OR state = 'submitted';
-- What D1 has, or may have, by the card; and by its own id.
CREATE INDEX change_sent ON order_change (card_id) WHERE state = 'submitting' OR state = 'unknown' OR state = 'submitted';
CREATE INDEX change_operation ON order_change (operation_id) WHERE operation_id <> '';
-- Applied to our copy of an order that D1 might have had after all.
CREATE INDEX change_doubtful ON order_change (order_ref) WHERE state = 'applied' AND order_attempts > 0;

-- Sealed requests, with the new addresses.
CREATE TABLE change_payload (
	ref  INTEGER PRIMARY KEY,
	body BLOB NOT NULL
);

-- +goose Down
SELECT 1;
