"""What must hold for every drawing, on random graphs."""

from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kir.exporters.picture.layout import Arc, Arrangement, Extent, Point, arrange
from kir.exporters.picture.ordering import _count_crossings, order_ranks
from kir.exporters.picture.ranking import assign_ranks
from tests.exporters.picture.models import arc_lists, longest_path

PORT_STEP = 10.0


def extents_for(draw: st.DataObject, count: int) -> list[Extent]:
    sizes = st.tuples(st.integers(30, 120), st.integers(30, 200), st.integers(20, 90), st.sampled_from([0, 16]))
    drawn = draw.draw(st.lists(sizes, min_size=count, max_size=count))
    return [Extent(before, after, length + tail, tail) for before, after, length, tail in drawn]


def rectangles(extents: list[Extent], arranged: Arrangement) -> list[tuple[float, float, float, float]]:
    """(across, along) of the first and the last corner of each box."""
    return [
        (centre - extent.before, start, centre + extent.after, start + extent.length - extent.tail)
        for extent, centre, start in zip(extents, arranged.centres, arranged.starts, strict=True)
    ]


def overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    """Return whether the insides of two rectangles meet; a rectangle may be a line."""
    slack = 1e-6
    return a[0] < b[2] - slack and b[0] < a[2] - slack and a[1] < b[3] - slack and b[1] < a[3] - slack


def hulls(route: list[Point]) -> list[tuple[float, float, float, float]]:
    """Return the rectangles inside of which the lines and curves of a route run."""
    return [
        (min(p.across, q.across), min(p.along, q.along), max(p.across, q.across), max(p.along, q.along))
        for p, q in pairwise(route)
    ]


def meets(hull: tuple[float, float, float, float], box: tuple[float, float, float, float]) -> bool:
    """Like `overlap`, for a hull that may be a line without breadth."""
    return hull[0] < box[2] and box[0] < hull[2] and hull[1] < box[3] - 1e-6 and box[1] < hull[3] - 1e-6


@settings(deadline=None, max_examples=150)
@given(arc_lists(), st.data())
def test_boxes_keep_apart_and_arcs_meet_no_foreign_box(
    drawn: tuple[int, list[tuple[int, int, int]]], data: st.DataObject
) -> None:
    count, triples = drawn
    extents = extents_for(data, count)
    arcs = [Arc(source, target, PORT_STEP * port) for source, target, port in triples]
    arranged = arrange(extents, arcs)
    boxes = rectangles(extents, arranged)
    for index, box in enumerate(boxes):
        assert all(not overlap(box, other) for other in boxes[:index])
    for arc, route in zip(arcs, arranged.routes, strict=True):
        for hull in hulls(route):
            for index, box in enumerate(boxes):
                assert index in (arc.source, arc.target) or not meets(hull, box)


@settings(deadline=None, max_examples=100)
@given(arc_lists(), st.data())
def test_every_arc_leads_from_its_port_to_its_target(
    drawn: tuple[int, list[tuple[int, int, int]]], data: st.DataObject
) -> None:
    count, triples = drawn
    extents = extents_for(data, count)
    arcs = [Arc(source, target, PORT_STEP * port) for source, target, port in triples]
    arranged = arrange(extents, arcs)
    trunks: dict[tuple[int, float], list[list[Point]]] = {}
    for arc, route in zip(arcs, arranged.routes, strict=True):
        trunks.setdefault((arc.source, arc.port), []).append(route)
        assert route[-1] == (arranged.centres[arc.target], arranged.starts[arc.target])
        assert all(p.along <= q.along for p, q in pairwise(route)), "arcs run forward"
    for (source, port), routes in trunks.items():
        extent = extents[source]
        beginning = (arranged.centres[source] + port, arranged.starts[source] + extent.length - extent.tail)
        full = [route for route in routes if route[0] == beginning]
        assert full
        for route in routes:
            assert route in full or any(lies_on(route[0], other) for other in full), "a branch leaves its trunk"


def lies_on(point: Point, route: list[Point]) -> bool:
    return (
        any(p.across == q.across == point.across and p.along <= point.along <= q.along for p, q in pairwise(route))
        or point in route
    )


@settings(deadline=None, max_examples=60)
@given(arc_lists())
def test_the_drawing_stays_within_its_size(drawn: tuple[int, list[tuple[int, int, int]]]) -> None:
    count, triples = drawn
    extents = [Extent(40, 40, 30)] * count
    arranged = arrange(extents, [Arc(source, target) for source, target, _ in triples])
    for left, top, right, bottom in rectangles(extents, arranged):
        assert left >= -1e-6
        assert top >= 0
        assert right <= arranged.breadth + 1e-6
        assert bottom <= arranged.length
    for route in arranged.routes:
        assert all(-1e-6 <= point.across <= arranged.breadth + 1e-6 for point in route)


@settings(deadline=None, max_examples=60)
@given(arc_lists())
def test_ranks_are_as_few_as_can_be(drawn: tuple[int, list[tuple[int, int, int]]]) -> None:
    count, triples = drawn
    ranks = assign_ranks(count, [(source, target) for source, target, _ in triples])
    assert all(ranks[source] < ranks[target] for source, target, _ in triples)
    assert max(ranks) == longest_path(count, triples)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_crossings_are_counted_as_by_looking_at_all_pairs(data: st.DataObject) -> None:
    above, below = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    ends = st.tuples(st.integers(0, above - 1), st.integers(0, below - 1))
    segments = data.draw(st.lists(ends, max_size=15))
    down: list[list[int]] = [[] for _ in range(above + below)]
    for upper, lower in segments:
        down[upper].append(above + lower)
    layers = [list(range(above)), list(range(above, above + below))]
    positions = [*range(above), *range(below)]
    expected = sum((a - c) * (b - d) < 0 for i, (a, b) in enumerate(segments) for c, d in segments[:i])
    assert _count_crossings(layers, down, positions) == expected


def test_crossings_that_can_be_avoided_are() -> None:
    # Two parents whose children were added in the wrong order.
    ranks, up, down = [0, 0, 1, 1], [[], [], [1], [0]], [[3], [2], [], []]
    layers = order_ranks(ranks, up, down)
    positions = [layers[ranks[vertex]].index(vertex) for vertex in range(4)]
    assert _count_crossings(layers, down, positions) == 0


def test_a_chain_is_a_straight_line() -> None:
    arranged = arrange([Extent(width, width, 30) for width in (20, 50, 30)], [Arc(0, 1), Arc(1, 2)])
    assert len(set(arranged.centres)) == 1
    assert all(len({point.across for point in route}) == 1 for route in arranged.routes)


def test_a_long_arc_passes_beside_the_boxes() -> None:
    extents = [Extent(40, 40, 30)] * 5
    arranged = arrange(extents, [Arc(0, 1), Arc(1, 2), Arc(2, 3), Arc(3, 4), Arc(0, 4)])
    assert abs(arranged.routes[-1][2].across - arranged.centres[2]) > 40


def test_a_source_stands_next_to_its_first_reader() -> None:
    assert assign_ranks(5, [(0, 1), (1, 2), (2, 3), (4, 3)]) == [0, 1, 2, 3, 2]


def test_nothing_is_drawn_of_nothing() -> None:
    assert arrange([], []) == Arrangement([], [], [], 0.0, 0.0)


def nested_arcs(count: int) -> list[Arc]:
    """Return a chain, with an arc from every box of the first half to its mirror image: bends would be quadratic."""
    return [Arc(i, i + 1) for i in range(count - 1)] + [Arc(i, count - 1 - i) for i in range(count // 2 - 1)]


def fan_arcs(count: int) -> list[Arc]:
    """Return a chain, all of which reads the first box."""
    return [Arc(i, i + 1) for i in range(count - 1)] + [Arc(0, i) for i in range(2, count)]


@pytest.mark.slow
@pytest.mark.parametrize("arcs_of", [nested_arcs, fan_arcs])
def test_points_grow_with_the_graph_and_no_faster(arcs_of: Callable[[int], list[Arc]]) -> None:
    counts = [2_000, 4_000]
    points = []
    for count in counts:
        arcs = arcs_of(count)
        arranged = arrange([Extent(40, 40, 30)] * count, arcs)
        points.append(sum(len(route) for route in arranged.routes))
        assert len(arranged.routes) == len(arcs)
    assert points[1] < 2.5 * points[0]
    assert points[1] < 40 * counts[1]


def test_lanes_run_beside_everything_and_meet_no_box() -> None:
    count = 1_000
    arcs = nested_arcs(count)
    extents = [Extent(40, 40, 30)] * count
    arranged = arrange(extents, arcs)
    boxes = sorted(rectangles(extents, arranged), key=lambda box: box[1])
    tops = [box[1] for box in boxes]
    for arc, route in zip(arcs, arranged.routes, strict=True):
        own = {arranged.starts[arc.source], arranged.starts[arc.target]}
        for hull in hulls(route):
            first = max(0, bisect_left(tops, hull[1]) - 1)
            for box in boxes[first : bisect_left(tops, hull[3])]:
                assert box[1] in own or not meets(hull, box)


def test_the_same_graph_is_drawn_the_same() -> None:
    arcs = [Arc(i // 2, i + 1) for i in range(60)] + [Arc(i, i + 20) for i in range(0, 40, 3)]
    extents = [Extent(20 + i, 30, 30) for i in range(61)]
    assert arrange(extents, arcs) == arrange(extents, arcs)
