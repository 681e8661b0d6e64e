-- +goose Up
-- Orders that have ended and may need a person, file by file: few. Of those D1
-- works on, the ones it keeps us waiting for are found by orders_watched.
CREATE INDEX orders_ended_badly ON orders (batch_no)
	WHERE state = 'refused' OR failed = 1 OR status = 'DATA_EXCEPTION' OR status = 'CARD_PROD_EXCEPTION';
-- A card comes back weeks after its file is closed.
CREATE INDEX orders_returned ON orders (issuer_id, heard_at) WHERE status = 'CARD_RETURNED';
CREATE INDEX batch_closed ON batch (issuer_id, closed_at) WHERE closed_at > 0;
-- Changes that were not made, few.
CREATE INDEX change_failed ON order_change (issuer_id, order_ref, finished_at)
	WHERE state = 'too_late' OR state = 'refused' OR state = 'held';

-- +goose Down
SELECT 1;
