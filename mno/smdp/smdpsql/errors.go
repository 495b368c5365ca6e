package smdpsql

import (
	"errors"

	"github.com/iotregistry/sdk/mno/internal/sqlkit"
)

// What [Open] and the calls of a [Store] can meet, besides the errors of package
// smdp, of contexts and of the driver.
var (
	// ErrNewer says that a newer program has changed the layout of the tables.
	// Nothing was changed by Open.
	ErrNewer = sqlkit.ErrNewer

	// ErrUnsupported says that the database is not one that Open takes.
	ErrUnsupported = sqlkit.ErrUnsupported

	// ErrDamaged says that what is stored cannot be read: something else has
	// written to the tables, or a newer program.
	ErrDamaged = sqlkit.ErrDamaged
)

var errText = errors.New("a text cannot be stored: it must be UTF-8, and have no NUL in ICCID, matching ID and transactions")
