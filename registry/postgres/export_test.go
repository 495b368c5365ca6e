package postgres

import (
	"context"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/iotregistry/sdk/internal/sqlstore"
)

// OpenSteps is Open with the steps of another program.
func OpenSteps(ctx context.Context, pool *pgxpool.Pool, opts *Options, dir fs.FS) (*Store, error) {
	steps, err := sqlstore.Steps(dir)
	if err != nil {
		return nil, err
	}
	return open(ctx, pool, opts, steps)
}
