provider "digitalocean" {
  token = "{{digitalocean}}"
}
