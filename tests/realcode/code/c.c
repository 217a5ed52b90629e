/* Orders of a shop. */
#include <stdio.h>
#include "stock.h"
#define LIMIT 3
#define TWICE(x) ((x) * 2)

typedef struct order {
    int count; // pieces
    const char *name;
} order_t;

struct line;
enum size { SMALL, BIG };
union value { int i; float f; };
typedef int (*rule_fn)(const order_t *);

static int total = 0, open_orders[LIMIT];
extern int far(int);

static inline int
add(int a, int b)
{
    return a && b ? a + b : a;
}

char *name_of(const order_t *order, ...)
{
    if (!order || order->count > LIMIT)
        return NULL;
    for (int i = 0; i < order->count; i++) {
        switch (i) {
        case 0: break;
        case 1: total++;
        default: break;
        }
    }
    return (char *)order->name;
}

int main(void) { return add(1, 2); }
