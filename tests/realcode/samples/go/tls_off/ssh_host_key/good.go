package client

import (
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func dial(address string, signer ssh.Signer) (*ssh.Client, error) {
	check, err := knownhosts.New("/etc/deploy/known_hosts")
	if err != nil {
		return nil, err
	}
	config := &ssh.ClientConfig{
		User:            "deploy",
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: check,
	}
	return ssh.Dial("tcp", address, config)
}
