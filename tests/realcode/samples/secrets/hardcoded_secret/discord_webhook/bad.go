package alert

const hook = "{{discord_webhook}}"
