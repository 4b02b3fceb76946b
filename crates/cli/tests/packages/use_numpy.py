import io

import numpy as np
import numpy.ctypeslib
import numpy.lib.recfunctions
import numpy.lib.stride_tricks
import numpy.testing


def handler(event, context):
    matrix = np.array([[4.0, 1.0], [2.0, 3.0]])
    values, vectors = np.linalg.eig(matrix)
    numpy.testing.assert_allclose(sorted(values), [2.0, 5.0])
    np.testing.assert_allclose(matrix @ np.linalg.inv(matrix), np.eye(2), atol=1e-12)
    assert np.linalg.svd(matrix)[1].shape == (2,) and np.linalg.norm(np.linalg.qr(matrix)[0]) > 0
    wave = np.sin(np.arange(64) * 2 * np.pi / 8)
    assert np.argmax(np.abs(np.fft.rfft(wave))) == 8
    drawn = np.random.default_rng(7).normal(size=1000)
    assert abs(drawn.mean()) < 0.2 and np.random.RandomState(1).randint(10, size=3).shape == (3,)
    days = np.arange("2024-02", "2024-03", dtype="datetime64[D]")
    assert len(days) == 29 and np.is_busday(days).sum() == 21
    file = io.BytesIO()
    np.savez_compressed(file, a=matrix)
    assert (np.load(io.BytesIO(file.getvalue()))["a"] == matrix).all()
    assert np.genfromtxt(io.StringIO("1,2\n3,4"), delimiter=",").sum() == 10
    assert np.einsum("ij,jk->ik", matrix, matrix).shape == (2, 2)
    assert np.ma.masked_array([1, 2], mask=[0, 1]).sum() == 1
    assert np.polynomial.Polynomial([1, 2])(3) == 7 and np.poly1d([1, 2])(3) == 5
    assert np.char.upper(np.array(["a"]))[0] == "A"
    record = np.rec.fromarrays([[1, 2], ["a", "b"]], names="n,t")
    assert record.n[1] == 2 and str(np.float32(1)) and repr(matrix)
    np.show_config()
    assert np.get_include() and np.vectorize(lambda x: x + 1)(np.arange(2))[1] == 2
    assert np.loadtxt(io.StringIO("1 2")).shape == (2,)
    namespace = {}
    exec("from numpy import *", namespace)
    assert namespace["array"] is np.array
