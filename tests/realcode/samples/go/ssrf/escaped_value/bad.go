package main

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
)

func status(c echo.Context) error {
	url := fmt.Sprintf("http://%s/health", c.Param("host"))
	req, err := http.NewRequestWithContext(c.Request().Context(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return c.NoContent(res.StatusCode)
}
