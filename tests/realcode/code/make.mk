# Orders of a shop.
include rules.mk
LIMIT := 3

all: build test

build: main.c
	cc -o $@ $<

define twice
$(1)$(1)
endef
