import numpy as np
from scipy import (
    cluster, fft, fftpack, integrate, interpolate, io, linalg, ndimage, optimize, signal, sparse, spatial, special,
    stats,
)
import scipy.cluster.hierarchy
import scipy.cluster.vq
import scipy.constants
import scipy.linalg.interpolative
import scipy.sparse.csgraph
import scipy.sparse.linalg
import scipy.spatial.transform


def handler(event, context):
    found = optimize.minimize(lambda x: (x[0] - 1) ** 2 + (x[1] + 2) ** 2, [0, 0], method="BFGS")
    assert np.allclose(found.x, [1, -2], atol=1e-3) and optimize.brentq(lambda x: x**2 - 2, 0, 2) > 1.41
    assert optimize.linprog([1, 1], A_ub=[[-1, -1]], b_ub=[-3]).status == 0
    assert np.allclose(optimize.curve_fit(lambda x, a: a * x, [1.0, 2, 3], [2.0, 4, 6])[0], 2)
    assert optimize.linear_sum_assignment([[1, 2], [2, 1]])[1].tolist() == [0, 1]
    matrix = sparse.csr_matrix(([4.0, 3, 2], ([0, 1, 2], [0, 1, 2])))
    assert np.allclose(scipy.sparse.linalg.spsolve(matrix.tocsc(), [4, 3, 2]), 1)
    assert scipy.sparse.csgraph.dijkstra(sparse.csr_matrix([[0, 1], [0, 0]]))[0, 1] == 1
    assert scipy.sparse.linalg.eigsh(sparse.diags([1.0, 2, 3, 4, 5]).tocsr(), k=1)[0][0] > 4.9
    draws = stats.norm(3, 1).rvs(size=500, random_state=1)
    assert stats.ttest_1samp(draws, 3).pvalue > 0.001 and abs(stats.norm.fit(draws)[0] - 3) < 0.2
    assert stats.gaussian_kde(draws)(3)[0] > 0.3 and stats.mannwhitneyu(draws, draws + 1)[1] < 0.05
    assert stats.pearsonr(draws, draws)[0] > 0.99 and stats.chi2.ppf(0.95, 3) > 7
    assert stats.linregress([1, 2, 3], [1, 2, 3]).slope == 1
    assert stats.qmc.Sobol(2, seed=1).random(4).shape == (4, 2) if hasattr(stats, "qmc") else True
    assert interpolate.CubicSpline([0, 1, 2], [0, 1, 4])(1.5) > 2 and interpolate.interp1d([0, 1], [0, 2])(0.5) == 1
    assert interpolate.griddata(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), [0, 1, 1, 2], [(0.5, 0.5)])[0] == 1
    smooth = signal.filtfilt(*signal.butter(2, 0.2), np.random.default_rng(1).normal(size=99))
    assert smooth.shape == (99,) and len(signal.find_peaks(np.sin(np.arange(30)))[0]) == 5
    points = np.random.default_rng(2).random((30, 2))
    assert spatial.cKDTree(points).query(points[3])[1] == 3 and len(spatial.ConvexHull(points).vertices) > 3
    assert len(spatial.Delaunay(points).simplices) > 10 and spatial.distance.pdist(points).shape == (435,)
    assert np.allclose(spatial.transform.Rotation.from_euler("z", 90, degrees=True).apply([1, 0, 0]), [0, 1, 0])
    assert integrate.quad(np.sin, 0, np.pi)[0] > 1.99 and integrate.solve_ivp(lambda t, y: -y, [0, 1], [1.0]).success
    assert np.allclose(linalg.expm(np.zeros((2, 2))), np.eye(2)) and linalg.lu(np.eye(2))[2].shape == (2, 2)
    assert special.gamma(5) == 24 and special.jv(0, 0) == 1
    assert fft.fft(np.ones(4))[0] == 4 and fftpack.dct(np.ones(4)).shape == (4,)
    assert ndimage.gaussian_filter(np.eye(5), 1).shape == (5, 5) and ndimage.label(np.eye(3))[1] == 3
    assert cluster.vq.kmeans2(points, 2)[1].shape == (30,) and cluster.hierarchy.linkage(points).shape == (29, 4)
    assert scipy.constants.c == 299792458 and io.loadmat
    from scipy.linalg import blas, cython_blas, cython_lapack, lapack
    assert blas.ddot([1.0], [2.0]) == 2 and lapack.dgesv and cython_blas and cython_lapack
