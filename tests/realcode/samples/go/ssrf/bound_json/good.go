package main

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

const hookURL = "https://hooks.example.org/test"

func testHook(c *gin.Context) {
	client := &http.Client{Timeout: 5 * time.Second}
	resp, err := client.Post(hookURL, "application/json", nil)
	if err != nil {
		c.Status(502)
		return
	}
	c.Status(resp.StatusCode)
}
