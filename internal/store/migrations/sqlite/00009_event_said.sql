-- +goose Up
-- When D1 says that it happened; 0 for what D1 did not report.
ALTER TABLE event ADD COLUMN said_at BIGINT NOT NULL DEFAULT 0;

-- +goose Down
SELECT 1;
