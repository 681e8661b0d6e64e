-- +goose Up
-- Of an order: whether it was ordered with NO_SHIPMENT, so that made is its
-- end; rows of before do not know and go on as they did.
ALTER TABLE orders ADD COLUMN no_shipment INTEGER NOT NULL DEFAULT 0 CHECK (no_shipment IN (0, 1));
-- Operations beyond operation_id under which D1 produces it, a JSON list.
ALTER TABLE orders ADD COLUMN other_operations TEXT NOT NULL DEFAULT '';
-- The step of production that a pause hides, or the pause before it; JSON.
ALTER TABLE orders ADD COLUMN beneath TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN parcel_at BIGINT NOT NULL DEFAULT 0;
UPDATE orders SET parcel_at = shipment_at WHERE shipment_at > 0;
CREATE INDEX orders_doubled ON orders (issuer_id, ref) WHERE other_operations <> '';
CREATE INDEX orders_missing ON orders (issuer_id, ref) WHERE state = 'submitted' AND not_found > 0;

-- News that names no order is looked for by the card.
ALTER TABLE parked_operation ADD COLUMN card_id TEXT NOT NULL DEFAULT '';
ALTER TABLE parked_operation ADD COLUMN operation_id TEXT NOT NULL DEFAULT '';
UPDATE parked_operation SET card_id = coalesce(operation ->> 'CardID', ''), operation_id = coalesce(operation ->> 'OperationID', '');
CREATE INDEX parked_card ON parked_operation (issuer_id, card_id) WHERE applied_at = 0 AND issuer_request_id = '';
CREATE INDEX parked_age ON parked_operation (issuer_id, parked_at) WHERE applied_at = 0;

-- What D1 says in words we do not know, and how often.
CREATE TABLE vocabulary (
	issuer_id TEXT    NOT NULL,
	kind      TEXT    NOT NULL,
	word      TEXT    NOT NULL,
	times     BIGINT  NOT NULL,
	first_at  BIGINT  NOT NULL,
	last_at   BIGINT  NOT NULL,
	PRIMARY KEY (issuer_id, kind, word)
) WITHOUT ROWID;

-- What was used of an allowance that begins anew every day.
CREATE TABLE allowance (
	name TEXT   NOT NULL PRIMARY KEY,
	day  TEXT   NOT NULL,
	used BIGINT NOT NULL
) WITHOUT ROWID;

-- +goose Down
SELECT 1;
