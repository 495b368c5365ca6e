package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/iotregistry/sdk/registry"
)

// statements are the SQL of one table.
type statements struct {
	name                   string // quoted
	probe                  string
	get, list, children    string
	insert, update, remove string
}

func newStatements(schema string, t registry.Table) *statements {
	name := qualified(schema, string(t))
	const columns = `SELECT key, parent, version, body FROM `
	return &statements{
		name:     name,
		probe:    columns + name + ` LIMIT 0`,
		get:      columns + name + ` WHERE key = ANY($1) ORDER BY key`,
		list:     columns + name + ` WHERE key > $1 ORDER BY key LIMIT $2`,
		children: columns + name + ` WHERE parent = $3 AND parent <> '' AND key > $1 ORDER BY key LIMIT $2`,
		insert: `INSERT INTO ` + name + ` (key, parent, version, body)
SELECT n.key, n.parent, 1, n.body FROM unnest($1::TEXT[], $2::TEXT[], $3::BYTEA[]) AS n (key, parent, body)
ON CONFLICT (key) DO NOTHING RETURNING key`,
		update: `UPDATE ` + name + ` AS o SET parent = n.parent, version = n.version + 1, body = n.body
FROM unnest($1::TEXT[], $2::TEXT[], $3::BYTEA[], $4::BIGINT[]) AS n (key, parent, body, version)
WHERE o.key = n.key AND o.version = n.version RETURNING o.key`,
		remove: `DELETE FROM ` + name + ` WHERE key = ANY($1)`,
	}
}

// qualified returns a table's name, quoted; without a schema the connection's
// search_path decides.
func qualified(schema, table string) string {
	if schema == "" {
		return pgx.Identifier{table}.Sanitize()
	}
	return pgx.Identifier{schema, table}.Sanitize()
}
