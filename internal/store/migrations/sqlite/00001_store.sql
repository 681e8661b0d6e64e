-- +goose Up
-- Times are microseconds since 1970 UTC, 0 for never. Texts are '' when absent.

CREATE TABLE session (
	id         TEXT    NOT NULL PRIMARY KEY,
	node       TEXT    NOT NULL,
	started_at BIGINT  NOT NULL,
	ended_at   BIGINT  NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX session_open ON session (started_at) WHERE ended_at = 0;

CREATE TABLE batch (
	no            INTEGER PRIMARY KEY,
	id            TEXT    NOT NULL UNIQUE,
	source        TEXT    NOT NULL,
	issuer_id     TEXT    NOT NULL,
	file_name     TEXT    NOT NULL,
	session       TEXT    NOT NULL,
	size          BIGINT  NOT NULL DEFAULT 0,
	sha256        TEXT    NOT NULL DEFAULT '',
	row_count     BIGINT  NOT NULL DEFAULT 0, -- as read and decided on
	loaded        BIGINT  NOT NULL DEFAULT 0, -- rows in orders
	control       TEXT    NOT NULL DEFAULT '', -- JSON
	sequence      BIGINT  NOT NULL DEFAULT 0,  -- of the control file
	state         TEXT    NOT NULL
		CHECK (state IN ('loading', 'accepted', 'held', 'refused', 'settled', 'closed')),
	code          TEXT    NOT NULL DEFAULT '',
	reason        TEXT    NOT NULL DEFAULT '',
	archived      TEXT    NOT NULL DEFAULT '',
	business_date TEXT    NOT NULL DEFAULT '',
	received_at   BIGINT  NOT NULL,
	decided_at    BIGINT  NOT NULL DEFAULT 0,
	settled_at    BIGINT  NOT NULL DEFAULT 0,
	closed_at     BIGINT  NOT NULL DEFAULT 0,
	last_event    BIGINT  NOT NULL DEFAULT 0
);
-- An order_id is judged against all earlier orders of the issuer, so that two
-- of its files must not be loaded at the same time.
CREATE UNIQUE INDEX batch_loading ON batch (issuer_id) WHERE state = 'loading';
CREATE INDEX batch_open ON batch (state, issuer_id, no) WHERE state IN ('loading', 'accepted', 'held', 'settled');
CREATE INDEX batch_unarchived ON batch (source) WHERE archived = '';
CREATE INDEX batch_name ON batch (source, file_name);
CREATE INDEX batch_sha256 ON batch (source, sha256);
CREATE INDEX batch_sequence ON batch (source, sequence) WHERE sequence > 0;

CREATE TABLE orders (
	ref             INTEGER PRIMARY KEY, -- batch_no << 24 | row
	batch_no        BIGINT  NOT NULL,
	line            BIGINT  NOT NULL,
	live            INTEGER NOT NULL CHECK (live IN (0, 1)), -- owns its order_id; never changes
	urgency         INTEGER NOT NULL,
	state           TEXT    NOT NULL
		-- Not IN: for more than two values that builds a table each time it is looked at.
		CHECK (state = 'ready' OR state = 'submitting' OR state = 'submitted' OR state = 'unknown' OR state = 'refused'
			OR state = 'held' OR state = 'rejected' OR state = 'duplicate' OR state = 'cancelled'),
	attempts        INTEGER NOT NULL DEFAULT 0,
	asks            INTEGER NOT NULL DEFAULT 0,
	not_found       INTEGER NOT NULL DEFAULT 0, -- of the asks, the last ones in a row that D1 said no to
	next_attempt_at BIGINT  NOT NULL DEFAULT 0,
	submitted_at    BIGINT  NOT NULL DEFAULT 0,
	watched_at      BIGINT  NOT NULL DEFAULT 0, -- since when we wait for news of it, 0 unless we do
	heard_at        BIGINT  NOT NULL DEFAULT 0,
	last_event      BIGINT  NOT NULL DEFAULT 0, -- head of its chain of events
	issuer_id       TEXT    NOT NULL,
	order_id        TEXT    NOT NULL,
	card_id         TEXT    NOT NULL,
	consumer_id     TEXT    NOT NULL,
	product_id      TEXT    NOT NULL,
	issuance        TEXT    NOT NULL,
	priority        TEXT    NOT NULL,
	masked_pan      TEXT    NOT NULL,
	pan_fingerprint BLOB,
	content_mac     BLOB,
	code            TEXT    NOT NULL DEFAULT '',
	reason          TEXT    NOT NULL DEFAULT '',
	session         TEXT    NOT NULL DEFAULT '',
	correlation_id  TEXT    NOT NULL DEFAULT '',
	operation_id    TEXT    NOT NULL DEFAULT '',
	status          TEXT    NOT NULL DEFAULT '', -- D1's production status, as D1 spells it
	failed          INTEGER NOT NULL DEFAULT 0 CHECK (failed IN (0, 1)),
	status_reason   TEXT    NOT NULL DEFAULT '',
	status_at       BIGINT  NOT NULL DEFAULT 0,
	due_date        TEXT    NOT NULL DEFAULT '',
	site            TEXT    NOT NULL DEFAULT '',
	shipment        TEXT    NOT NULL DEFAULT '', -- JSON
	shipment_at     BIGINT  NOT NULL DEFAULT 0,
	CHECK (batch_no = ref >> 24),
	CHECK (live = (state NOT IN ('rejected', 'duplicate'))),
	CHECK ((state = 'submitting') = (session <> '')),
	CHECK (watched_at = 0 OR state = 'submitted')
);
CREATE UNIQUE INDEX orders_live ON orders (issuer_id, order_id) WHERE live = 1;
-- Repeats, conflicts and rejected rows, few: for people who look for an id.
CREATE INDEX orders_not_live ON orders (order_id) WHERE live = 0;
CREATE INDEX orders_card ON orders (card_id) WHERE live = 1;
-- What keeps a batch from settling, and first of all the queue of ready orders.
CREATE INDEX orders_open ON orders (batch_no, state, urgency, next_attempt_at)
	WHERE state = 'ready' OR state = 'submitting' OR state = 'unknown' OR state = 'held';
-- What keeps a batch from closing.
CREATE INDEX orders_watched ON orders (batch_no, watched_at) WHERE watched_at > 0;

-- Sealed request bodies, apart from the orders so that those stay small and
-- these can be erased.
CREATE TABLE payload (
	ref  INTEGER PRIMARY KEY,
	body BLOB NOT NULL
);

CREATE TABLE row_error (
	ref         BIGINT  NOT NULL,
	n           INTEGER NOT NULL,
	line        BIGINT  NOT NULL,
	column_name TEXT    NOT NULL,
	code        TEXT    NOT NULL,
	text        TEXT    NOT NULL,
	masked      TEXT    NOT NULL,
	PRIMARY KEY (ref, n)
) WITHOUT ROWID;

CREATE TABLE event (
	id         INTEGER PRIMARY KEY,
	prev       BIGINT  NOT NULL, -- the event before it of the same order or batch
	ref        BIGINT  NOT NULL, -- 0 for an event of a batch
	batch_no   BIGINT  NOT NULL,
	kind       TEXT    NOT NULL CHECK (kind = 'state' OR kind = 'production' OR kind = 'shipment' OR kind = 'late' OR kind = 'batch'),
	from_value TEXT    NOT NULL,
	to_value   TEXT    NOT NULL,
	at         BIGINT  NOT NULL,
	stage      TEXT    NOT NULL,
	session    TEXT    NOT NULL,
	operator   TEXT    NOT NULL,
	code       TEXT    NOT NULL,
	reason     TEXT    NOT NULL,
	attempt    INTEGER NOT NULL
);
-- +goose StatementBegin
CREATE TRIGGER event_never_changes BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'event is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER event_never_goes BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'event is append-only'); END;
-- +goose StatementEnd

CREATE TABLE notification (
	id          INTEGER PRIMARY KEY,
	issuer_id   TEXT    NOT NULL,
	digest      BLOB    NOT NULL,
	body        BLOB    NOT NULL, -- sealed
	received_at BIGINT  NOT NULL,
	operations  INTEGER NOT NULL,
	unmatched   INTEGER NOT NULL DEFAULT 0,
	other       INTEGER NOT NULL DEFAULT 0 -- operations of kinds that change nothing
);
CREATE UNIQUE INDEX notification_digest ON notification (issuer_id, digest);

CREATE TABLE parked_operation (
	id                INTEGER PRIMARY KEY,
	digest            BLOB   NOT NULL, -- of the notification it came with
	issuer_id         TEXT   NOT NULL,
	issuer_request_id TEXT   NOT NULL,
	operation         TEXT   NOT NULL, -- JSON
	parked_at         BIGINT NOT NULL,
	applied_at        BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX parked_open ON parked_operation (issuer_id, issuer_request_id) WHERE applied_at = 0;

CREATE TABLE observation (
	source   TEXT    NOT NULL,
	name     TEXT    NOT NULL,
	size     BIGINT  NOT NULL,
	mod_time BIGINT  NOT NULL,
	seen     INTEGER NOT NULL,
	PRIMARY KEY (source, name)
) WITHOUT ROWID;

CREATE TABLE delivery (
	id            INTEGER PRIMARY KEY,
	kind          TEXT    NOT NULL,
	issuer_id     TEXT    NOT NULL,
	source        TEXT    NOT NULL,
	batch_no      BIGINT  NOT NULL,
	business_date TEXT    NOT NULL,
	revision      INTEGER NOT NULL,
	destination   TEXT    NOT NULL,
	name          TEXT    NOT NULL,
	after_event   BIGINT  NOT NULL,
	up_to_event   BIGINT  NOT NULL,
	planned_at    BIGINT  NOT NULL,
	delivered_at  BIGINT  NOT NULL DEFAULT 0,
	row_count     BIGINT  NOT NULL DEFAULT 0,
	size          BIGINT  NOT NULL DEFAULT 0,
	sha256        TEXT    NOT NULL DEFAULT '',
	UNIQUE (destination, name)
);
CREATE INDEX delivery_owed ON delivery (id) WHERE delivered_at = 0;
CREATE INDEX delivery_batch ON delivery (batch_no, kind);
CREATE INDEX delivery_issuer ON delivery (issuer_id, kind, business_date);

CREATE TABLE run (
	id            INTEGER PRIMARY KEY,
	job           TEXT   NOT NULL,
	stage         TEXT   NOT NULL,
	due           BIGINT NOT NULL,
	due_wall      TEXT   NOT NULL,
	business_date TEXT   NOT NULL,
	cause         TEXT   NOT NULL CHECK (cause IN ('schedule', 'after', 'manual')),
	session       TEXT   NOT NULL,
	started_at    BIGINT NOT NULL,
	ended_at      BIGINT NOT NULL DEFAULT 0,
	outcome       TEXT   NOT NULL DEFAULT ''
		CHECK (outcome IN ('', 'done', 'rejects', 'failed', 'skipped', 'lost')),
	summary       TEXT   NOT NULL DEFAULT '',
	CHECK ((ended_at = 0) = (outcome = ''))
);
-- A lost run does not count: its due time may be run again.
CREATE UNIQUE INDEX run_due ON run (job, due_wall) WHERE due_wall <> '' AND outcome <> 'lost';
CREATE UNIQUE INDEX run_open ON run (job) WHERE ended_at = 0;
CREATE INDEX run_job ON run (job, due);

CREATE TABLE rate (
	name TEXT   NOT NULL PRIMARY KEY,
	tat  BIGINT NOT NULL -- nanoseconds: a slot may last less than a microsecond's multiple
) WITHOUT ROWID;

-- +goose Down
SELECT 1;
