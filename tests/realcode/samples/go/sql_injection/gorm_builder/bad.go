package shop

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"gorm.io/gorm"
)

func search(db *gorm.DB) gin.HandlerFunc {
	return func(c *gin.Context) {
		var query strings.Builder
		query.WriteString("SELECT * FROM product WHERE name LIKE '%")
		query.WriteString(c.Query("name"))
		query.WriteString("%'")
		var products []Product
		db.Raw(query.String()).Scan(&products)
		c.JSON(http.StatusOK, products)
	}
}
