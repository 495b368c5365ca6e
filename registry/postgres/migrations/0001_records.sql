-- The layout of every table: registry.Store says what the columns mean. {text}
-- is the text type whose order is that of bytes, {storage} leaves room on pages. The
-- statement after it, where there is one, spares the time to compress bodies.
-- IF NOT EXISTS adopts the tables that programs made before there were versions.
CREATE TABLE IF NOT EXISTS {table} (
	key     {text} NOT NULL PRIMARY KEY,
	parent  {text} NOT NULL,
	version BIGINT NOT NULL,
	body    BYTEA NOT NULL
){storage};
{unpacked}
-- Most records are of tables that are never listed by parent: they leave it empty
-- and stay out of the second index.
CREATE INDEX IF NOT EXISTS "{name}_parent" ON {table} (parent, key) WHERE parent <> '';
