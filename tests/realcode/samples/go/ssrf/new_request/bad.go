package preview

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
)

func status(c echo.Context) error {
	address := fmt.Sprintf("http://%s/status", c.QueryParam("host"))
	request, err := http.NewRequestWithContext(c.Request().Context(), http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	return c.Stream(response.StatusCode, "application/json", response.Body)
}
