"""The contract suite. Pytest explains its failures also where another package imports it."""

import sys

if "pytest" in sys.modules:  # not in the process of `hosted`
    sys.modules["pytest"].register_assert_rewrite(f"{__name__}.reading_rules", f"{__name__}.trouble_rules")
