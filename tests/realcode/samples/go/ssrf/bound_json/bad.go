package main

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

type Hook struct {
	URL string `json:"url"`
}

func testHook(c *gin.Context) {
	var hook Hook
	if err := c.ShouldBindJSON(&hook); err != nil {
		c.Status(400)
		return
	}
	client := &http.Client{Timeout: 5 * time.Second}
	resp, err := client.Post(hook.URL, "application/json", nil)
	if err != nil {
		c.Status(502)
		return
	}
	c.Status(resp.StatusCode)
}
