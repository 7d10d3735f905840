"""What a PromQL expression asks for."""

import promql_parser


def nodes(expr: promql_parser.Expr) -> list[promql_parser.Expr]:
    """Every part of an expression, itself included."""
    found: list[promql_parser.Expr] = []
    promql_parser.walk(expr, found.append)
    return found


def parts(expr: str) -> list[promql_parser.Expr]:
    """The same of its text."""
    return nodes(promql_parser.parse(expr))


def selectors(expr: str) -> list[promql_parser.VectorSelector]:
    """Its selectors of series, in order."""
    return [each for each in parts(expr) if isinstance(each, promql_parser.VectorSelector)]


def ambiguous_joins(expr: promql_parser.Expr) -> list[str]:
    """The one side of each join of many elements with one, where it is not aggregated to the labels of the join.

    Such a side can have several elements for one device, which makes the query an error.
    """
    return [
        str(one)
        for each in nodes(expr)
        if isinstance(each, promql_parser.BinaryExpr) and each.modifier is not None
        for one in _one_side(each, each.modifier)
    ]


def _one_side(join: promql_parser.BinaryExpr, modifier: promql_parser.BinModifier) -> list[promql_parser.Expr]:
    sides = {"ManyToOne": join.rhs, "OneToMany": join.lhs}
    one = next((side for name, side in sides.items() if name in str(modifier.card)), None)
    if one is None or modifier.matching is None:
        return []
    while isinstance(one, promql_parser.ParenExpr):
        one = one.expr
    labels = {*modifier.matching.labels, *(modifier.group_labels or ())}
    unique = isinstance(one, promql_parser.AggregateExpr) and set(one.modifier.labels if one.modifier else ()) <= labels
    return [] if unique else [one]
