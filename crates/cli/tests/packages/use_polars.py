import io

import polars as pl
from polars.testing import assert_frame_equal


def handler(event, context):
    frame = pl.DataFrame({"key": ["a", "b", "a"], "value": [1, 2, 3], "text": ["x y", "z", None]})
    lazy = frame.lazy()
    group_by = lazy.group_by if hasattr(lazy, "group_by") else lazy.groupby
    sums = group_by("key").agg([pl.col("value").sum()]).collect()
    assert dict(zip(sums["key"].to_list(), sums["value"].to_list())) == {"a": 4, "b": 2}
    assert frame.filter(pl.col("value") > 1).shape == (2, 3) and "shape" in str(frame)
    file = io.BytesIO()
    frame.write_parquet(file)
    assert pl.read_parquet(io.BytesIO(file.getvalue())).shape == (3, 3)
    assert pl.read_csv(io.BytesIO(b"x,y\n1,2\n")).shape == (1, 2)
    assert frame.join(sums, on="key").shape[0] == 3
    assert frame.with_columns([pl.col("text").str.split(" ").alias("words")]).shape == (3, 4)
    if hasattr(pl, "SQLContext"):
        assert pl.SQLContext(t=frame).execute("SELECT sum(value) AS s FROM t").collect()["s"][0] == 6
    if hasattr(pl, "date_range") and hasattr(pl, "datetime_range"):
        when = pl.col("d").str.to_datetime().dt.replace_time_zone("Europe/Berlin")
        days = pl.DataFrame({"d": ["2024-03-31"]}).with_columns(when)
        assert days["d"].dt.convert_time_zone("UTC").dt.hour()[0] == 23
    assert_frame_equal(frame, frame)
