package files

import (
	"archive/zip"
	"io"
	"os"
	"path/filepath"
)

func Unpack(archive, target string) error {
	reader, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer reader.Close()
	for _, entry := range reader.File {
		path := filepath.Join(target, entry.Name)
		out, err := os.Create(path)
		if err != nil {
			return err
		}
		in, err := entry.Open()
		if err != nil {
			return err
		}
		io.Copy(out, in)
		out.Close()
	}
	return nil
}
