// Package orders holds the orders of a shop.
package orders

import "fmt"
import (
	"os"
	str "strings"
	. "math"
	_ "embed"
)

const Limit = 3
const (
	Small Size = iota
	Big
)

var total, open int

type Size int

type Order[T any] struct {
	Items []T
	name  string
}

type Rule interface {
	Holds(o *Order[int]) bool
}

type Name = string

func New[T any](items ...T) *Order[T] {
	return &Order[T]{Items: items}
}

/* Send tells
where it went. */
func (o *Order[T]) Send(where string, n int) (int, error) {
	if where == "" || n < 0 {
		return 0, fmt.Errorf("no place")
	}
	for range o.Items {
		switch n {
		case 1:
			n++
		case 2:
			n--
		}
	}
	go func() { os.Exit(0) }()
	return n, nil
}
