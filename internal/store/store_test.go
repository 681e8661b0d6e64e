package store_test

import (
	"testing"

	"cardbatch/internal/store/storetest"
)

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t testing.TB) storetest.Database { return storetest.SQLite(t) })
}
