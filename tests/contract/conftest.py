"""Lets the rules, which are no test modules, explain their failures."""

import pytest

pytest.register_assert_rewrite("tests.contract.reading_rules", "tests.contract.trouble_rules")
