package setup

import "os"

func Prepare(path string) error {
	if err := os.MkdirAll(path, 0o750); err != nil {
		return err
	}
	return os.Chmod(path+"/config.yml", 0o600)
}
