package store

import (
	"os"
	"path/filepath"
)

func Read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join("/var/lib/store", name))
}
