package files

import "os"

func Export(rows []byte) error {
	path := "/tmp/export.csv"
	return os.WriteFile(path, rows, 0o644)
}
