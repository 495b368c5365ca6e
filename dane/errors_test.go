package dane_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/iotregistry/sdk/dane"
)

func TestErrors(t *testing.T) {
	t.Parallel()
	sentinels := []error{
		dane.ErrIndeterminate, dane.ErrBogus, dane.ErrInsecure, dane.ErrAbsent, dane.ErrNoMatch,
		dane.ErrUnusable, dane.ErrExpired, dane.ErrWrongName, dane.ErrNotAllowed, dane.ErrInvalid,
	}
	for i, s := range sentinels {
		err := fmt.Errorf("outer: %w", &dane.Error{Kind: dane.Kind(i), Name: "11.1.iotregistry.ca", Err: io.EOF})
		for j, other := range sentinels {
			require.Equal(t, i == j, errors.Is(err, other), "%v %v", s, other)
		}
		require.ErrorIs(t, err, io.EOF)
		require.Contains(t, err.Error(), "dane: 11.1.iotregistry.ca: "+dane.Kind(i).String()+": EOF")
	}
	require.Equal(t, dane.Indeterminate, new(dane.Error).Kind) // the zero value claims nothing
	require.Equal(t, "kind 99", dane.Kind(99).String())
	require.Equal(t, "kind -1", dane.Kind(-1).String())
	require.NotErrorIs(t, dane.ErrAbsent, &dane.Error{Kind: dane.Absent, Name: "other"})
}
