package preview

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
)

var hosts = map[string]string{"blue": "10.0.0.7", "green": "10.0.0.8"}

func status(c echo.Context) error {
	host, known := hosts[c.QueryParam("host")]
	if !known {
		return echo.NewHTTPError(http.StatusBadRequest)
	}
	address := fmt.Sprintf("http://%s/status", host)
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
