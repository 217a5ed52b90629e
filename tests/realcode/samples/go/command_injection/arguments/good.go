package tools

import (
	"context"
	"os/exec"
)

func Pack(ctx context.Context, folder, name string) error {
	args := []string{"czf", name + ".tar.gz", "--", "."}
	command := exec.CommandContext(ctx, "tar", args...)
	command.Dir = folder
	return command.Run()
}
