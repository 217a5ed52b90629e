package files

import "os"

func Export(rows []byte) (string, error) {
	file, err := os.CreateTemp("", "export-*.csv")
	if err != nil {
		return "", err
	}
	defer file.Close()
	_, err = file.Write(rows)
	return file.Name(), err
}
