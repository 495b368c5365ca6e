package postgres_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/iotregistry/sdk/registry"
	"github.com/iotregistry/sdk/registry/postgres"
)

// It has no output to compare, because it needs a server.
func ExampleOpen() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://registry@db.example/registry?sslmode=verify-full")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	store, err := postgres.Open(ctx, pool, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = registry.Config{Store: store} // and what else registry.New asks for
}
