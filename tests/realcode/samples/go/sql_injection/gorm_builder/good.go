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
		query.WriteString("SELECT * FROM product")
		query.WriteString(" WHERE name LIKE ?")
		var products []Product
		db.Raw(query.String(), "%"+c.Query("name")+"%").Scan(&products)
		c.JSON(http.StatusOK, products)
	}
}
