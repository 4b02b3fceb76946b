import psycopg2
import psycopg2.errors
import psycopg2.extras
import psycopg2.pool
import psycopg2.sql
from psycopg2 import extensions


def handler(event, context):
    assert extensions.adapt("it's").getquoted() == b"'it''s'" and extensions.adapt([1, 2]).getquoted() == b"ARRAY[1,2]"
    assert extensions.quote_ident and psycopg2.Binary(b"x").getquoted().startswith(b"'")
    assert psycopg2.Date(2024, 2, 29).getquoted() == b"'2024-02-29'::date"
    assert psycopg2.extras.Json({"a": 1}).getquoted() == b"""'{"a": 1}'"""
    assert extensions.parse_dsn("host=h dbname=d")["host"] == "h"
    assert "Composed" in repr(psycopg2.sql.SQL("SELECT {}").format(psycopg2.sql.Identifier("x")))
    assert psycopg2.errors.lookup("23505") is psycopg2.errors.UniqueViolation
    for options in ["host=127.0.0.1 port=1", "host=127.0.0.1 port=1 sslmode=require"]:
        try:
            psycopg2.connect(options + " connect_timeout=2")
            raise AssertionError("nobody listens there")
        except psycopg2.OperationalError as error:
            assert "refused" in str(error), error
    assert psycopg2.__libpq_version__ > 90000
