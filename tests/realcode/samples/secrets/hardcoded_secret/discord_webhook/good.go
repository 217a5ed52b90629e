package alert

import "os"

var hook = os.Getenv("DISCORD_WEBHOOK")
