-- +goose Up
-- Up to which key a kind of thing has been erased.
CREATE TABLE erased (
	kind  TEXT   NOT NULL PRIMARY KEY,
	up_to BIGINT NOT NULL
) WITHOUT ROWID;

-- +goose Down
SELECT 1;
