"""What a PromQL expression asks for."""

import promql_parser


def parts(expr: str) -> list[promql_parser.Expr]:
    """Every part of an expression, itself included."""
    found: list[promql_parser.Expr] = []
    promql_parser.walk(promql_parser.parse(expr), found.append)
    return found


def selectors(expr: str) -> list[promql_parser.VectorSelector]:
    """Its selectors of series, in order."""
    return [each for each in parts(expr) if isinstance(each, promql_parser.VectorSelector)]
