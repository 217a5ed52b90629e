package tools

import (
	"context"
	"fmt"
	"os/exec"
)

func Pack(ctx context.Context, folder, name string) error {
	line := fmt.Sprintf("cd %s && tar czf %s.tar.gz .", folder, name)
	args := []string{"-c", line}
	return exec.CommandContext(ctx, "bash", args...).Run()
}
