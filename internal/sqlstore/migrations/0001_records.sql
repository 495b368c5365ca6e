-- The layout of every table: registry.Store says what the columns mean.
-- IF NOT EXISTS adopts the tables that programs made before there were versions.
CREATE TABLE IF NOT EXISTS {table} (
	key     TEXT COLLATE BINARY NOT NULL PRIMARY KEY,
	parent  TEXT COLLATE BINARY NOT NULL,
	version BIGINT NOT NULL,
	body    BLOB NOT NULL
);
-- Most records are of tables that are never listed by parent: they leave it empty
-- and stay out of the second index.
CREATE INDEX IF NOT EXISTS {table}_parent ON {table} (parent, key) WHERE parent <> '';
