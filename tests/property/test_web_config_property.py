import re
import tempfile
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.configuration.errors import ConfigError
from exporter.web.web_config import WebConfig, read_web_config
from exporter.web.web_config_file import HEADERS, HTTP, RATE_LIMIT, TLS, USERS

KEYS = st.sampled_from(
    [
        *(TLS, HTTP, RATE_LIMIT, USERS, "headers", "cert_file", "key_file", "cert", "client_ca", "client_auth_type"),
        *("http2", "client_allowed_sans", "min_version", "cipher_suites", "curve_preferences", "interval", "burst"),
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(
        ["TLS12", "TLS13", "NoClientCert", "RequireAndVerifyClientCert", "X25519", "1s", "server.crt", HEADERS]
    )
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)


# An error, in one line, behind the name of the file.
PLACED = re.compile(r"([0-9]+: |[0-9]+:[0-9]+: | )[^\n]+")


def read(content: bytes) -> WebConfig | str:
    """The web configuration in a file, or the error about it."""
    with tempfile.NamedTemporaryFile(suffix=".yml") as file:
        file.write(content)
        file.flush()
        try:
            return read_web_config(Path(file.name))
        except ConfigError as error:
            return str(error).removeprefix(f"{file.name}:")


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_every_structure_is_read_or_refused_in_one_line(document: object) -> None:
    result = read(yaml.safe_dump(document).encode())
    assert isinstance(result, WebConfig) or PLACED.fullmatch(result)


@given(st.binary(max_size=200))
def test_every_content_is_read_or_refused_in_one_line(content: bytes) -> None:
    result = read(content)
    assert isinstance(result, WebConfig) or PLACED.fullmatch(result)
