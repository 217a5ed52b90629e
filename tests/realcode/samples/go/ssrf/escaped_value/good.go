package main

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"
)

func status(c echo.Context) error {
	target := "https://status.example.org/health?service=" + url.QueryEscape(c.Param("service"))
	req, err := http.NewRequestWithContext(c.Request().Context(), http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return c.NoContent(res.StatusCode)
}
