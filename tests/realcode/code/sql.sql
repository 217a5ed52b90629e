-- Orders of a shop.
CREATE TABLE orders (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL
);

/* The open
   ones. */
CREATE VIEW open_orders AS SELECT id, name FROM orders WHERE name IS NOT NULL;

CREATE INDEX orders_by_name ON orders (name);

CREATE FUNCTION total(a integer, b integer) RETURNS integer AS $$
BEGIN
  RETURN a + b;
END;
$$ LANGUAGE plpgsql;

CREATE TYPE size AS ENUM ('small', 'big');
CREATE SCHEMA shop;
CREATE TABLE IF NOT EXISTS shop.lines (order_id INTEGER REFERENCES orders(id));
INSERT INTO orders (id, name) VALUES (1, 'a');
SELECT count(*) FROM orders o JOIN shop.lines l ON l.order_id = o.id;
