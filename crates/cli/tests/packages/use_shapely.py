import pickle

import shapely
from shapely import affinity, ops, wkb, wkt
from shapely.geometry import LineString, MultiPoint, Point, Polygon, mapping, shape
from shapely.prepared import prep
from shapely.strtree import STRtree
from shapely.validation import explain_validity


def handler(event, context):
    circle, square = Point(0, 0).buffer(1), Polygon([(0, 0), (2, 0), (2, 2), (0, 2)])
    union = circle.union(square)
    assert 6 < union.area < 7 and circle.intersects(square) and prep(union).contains(Point(1, 1))
    assert abs(ops.unary_union([circle, square]).area - union.area) < 1e-9
    found = STRtree([circle, square]).query(Point(1.9, 1.9))
    assert len(found) == 1
    assert wkt.loads(square.wkt).equals(square) and wkb.loads(square.wkb).equals(square)
    assert shape(mapping(square)).equals(square) and pickle.loads(pickle.dumps(square)).equals(square)
    assert affinity.rotate(square, 45).area > 3.99 and MultiPoint([(0, 0), (1, 1), (2, 0)]).convex_hull.area == 1
    assert LineString([(0, 0), (2, 0)]).interpolate(1).x == 1 and square.simplify(0.1).is_valid
    assert "Self-intersection" in explain_validity(Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]))
    assert len(ops.triangulate(square)) == 2 and len(list(ops.polygonize([square.exterior]))) == 1
    if hasattr(shapely, "area"):
        assert shapely.area([square])[0] == 4 and shapely.voronoi_polygons(MultiPoint([(0, 0), (1, 1)]))
