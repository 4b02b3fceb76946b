import io
import pickle

import pandas as pd
import pandas.testing
from pandas.tseries.holiday import USFederalHolidayCalendar


def handler(event, context):
    frame = pd.read_csv(io.StringIO("key,when,value\na,2024-03-31 00:30,1\nb,2024-03-31 03:30,2\na,2024-04-01,3\n"))
    frame["when"] = pd.to_datetime(frame["when"].str.slice(0, 10)).dt.tz_localize("Europe/Berlin").dt.tz_convert("UTC")
    assert frame["when"].iloc[0].hour == 23
    sums = frame.groupby("key")["value"].agg(["sum", "mean"])
    expected = pd.DataFrame({"sum": [4, 2], "mean": [2.0, 2.0]}, index=pd.Index(["a", "b"], name="key"))
    # Old releases answer whole numbers where the mean is one.
    pandas.testing.assert_frame_equal(sums, expected, check_dtype=False)
    rolled = frame["value"].rolling(2).sum().dropna().reset_index(drop=True)
    pandas.testing.assert_series_equal(rolled, pd.Series([3.0, 5.0], name="value"))
    wide = frame.pivot_table(index="key", columns=frame["when"].dt.month, values="value", aggfunc="sum")
    assert wide.loc["b"].sum() == 2 and "key" in repr(sums) and frame.describe().shape[1] >= 1
    assert frame.merge(sums, left_on="key", right_index=True).shape == (3, 5)
    hourly = frame.set_index("when")["value"].resample("D").sum()
    assert hourly.sum() == 6
    assert pd.read_json(io.StringIO(frame[["key", "value"]].to_json(orient="records"))).shape == (3, 2)
    assert "<table" in frame.to_html() and frame.to_csv().count("\n") == 4
    assert pd.Categorical(["x", "y", "x"]).codes.sum() == 1 and pd.Series(["ab"]).str.upper()[0] == "AB"
    assert pd.period_range("2024-01", periods=3, freq="M")[2].month == 3
    assert pd.Timestamp("2024-02-29") + pd.DateOffset(years=1) == pd.Timestamp("2025-02-28")
    assert pd.Timestamp("2024-12-24") + pd.tseries.offsets.BDay(2) == pd.Timestamp("2024-12-26")
    assert frame.query("value > 1").shape[0] == 2 and frame.eval("value * 2").sum() == 12
    assert pd.concat([frame, frame]).drop_duplicates().shape[0] == 3
    assert pd.get_dummies(frame["key"]).shape == (3, 2) and frame.to_numpy().shape == (3, 3)
    assert pickle.loads(pickle.dumps(frame)).equals(frame) and pd.get_option("display.max_rows")
    assert len(USFederalHolidayCalendar().holidays("2024-01-01", "2024-12-31")) >= 10
