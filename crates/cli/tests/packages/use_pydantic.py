import datetime
import decimal
import typing
import uuid

import pydantic
import pydantic.dataclasses
from pydantic import BaseModel, Field, ValidationError

IS_NEW = pydantic.VERSION.startswith("2")


class Part(BaseModel):
    """A part."""

    name: str = Field(min_length=1, description="its name")
    price: decimal.Decimal = decimal.Decimal(1)


class Order(BaseModel):
    id: uuid.UUID
    when: datetime.datetime
    parts: typing.List[Part]
    note: typing.Optional[str] = None


def handler(event, context):
    given = {"id": "12345678123456781234567812345678", "when": "2024-02-29T10:00:00Z"}
    given["parts"] = [{"name": "nut", "price": "1.5"}]
    order = Order(**given)
    assert order.parts[0].price == decimal.Decimal("1.5") and order.when.year == 2024
    try:
        Order(**dict(given, parts=[{"name": ""}]))
        raise AssertionError("a name is needed")
    except ValidationError as error:
        assert error.errors()[0]["loc"][:2] == ("parts", 0) and "name" in str(error)
    assert "parts" in (order.model_dump_json() if IS_NEW else order.json())
    schema = Order.model_json_schema() if IS_NEW else Order.schema()
    assert "A part." in str(schema) and "Order(" in repr(order)
    if IS_NEW:
        from pydantic import ConfigDict, TypeAdapter, computed_field, field_validator, v1
        from pydantic import alias_generators, plugin, types
        from pydantic.deprecated import tools as deprecated_tools

        class Old(v1.BaseModel):
            n: int = 1

        assert Old(n="3").dict() == {"n": 3} and TypeAdapter(typing.List[int]).validate_python(["1"]) == [1]
        assert ConfigDict and computed_field and field_validator
        assert alias_generators and plugin and types and deprecated_tools
        from pydantic.v1.tools import parse_obj_as
    else:
        from pydantic.tools import parse_obj_as
    assert parse_obj_as(typing.List[int], ["4"]) == [4]

    @pydantic.dataclasses.dataclass
    class Pair:
        a: int
        b: int = 2

    assert Pair("1").a == 1
