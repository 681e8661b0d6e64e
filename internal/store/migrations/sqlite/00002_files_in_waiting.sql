-- +goose Up
-- Of a file in the drop: when it was seen first, since when its size and time
-- are the same, and when a person was last told that it does not complete.
ALTER TABLE observation ADD COLUMN first_seen BIGINT NOT NULL DEFAULT 0;
ALTER TABLE observation ADD COLUMN unchanged_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE observation ADD COLUMN reported_at BIGINT NOT NULL DEFAULT 0;

-- Of a loading batch: how often its loading was begun, since when it makes
-- trouble, and whether it was set aside so that others need not wait for it.
ALTER TABLE batch ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1;
ALTER TABLE batch ADD COLUMN troubled_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN set_aside INTEGER NOT NULL DEFAULT 0 CHECK (set_aside IN (0, 1));
DROP INDEX batch_loading;
-- One set aside has no rows, so that another file of the issuer can be judged.
CREATE UNIQUE INDEX batch_loading ON batch (issuer_id) WHERE state = 'loading' AND set_aside = 0;

-- +goose Down
SELECT 1;
