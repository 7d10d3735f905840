"""What a PromQL expression asks for."""

import promql_parser


def selectors(expr: str) -> list[promql_parser.VectorSelector]:
    """Its selectors of series, in order."""
    found: list[promql_parser.Expr] = []
    promql_parser.walk(promql_parser.parse(expr), found.append)
    return [each for each in found if isinstance(each, promql_parser.VectorSelector)]
