"""Which version of the API group resource.k8s.io the API server serves."""

from exporter.attribution.api_error import ApiNotFoundError
from exporter.attribution.json_fields import children, text
from exporter.attribution.kubernetes_api import KubernetesApi

_GROUP = "/apis/resource.k8s.io"
# The best first. v1 exists since Kubernetes 1.34, v1beta2 since 1.33, v1beta1 since 1.32.
VERSIONS = ("v1", "v1beta2", "v1beta1")


class ResourceApi:
    """The path of the best version that is served. Several threads may use it.

    Args:
        api: The API server.
    """

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self._path = ""

    def path(self) -> str:
        """Return the path, `/apis/resource.k8s.io/v1`. Every service account may read which versions there are.

        Raises:
            ApiNotFoundError: No known version is served.
            ApiError: The server does not answer.
        """
        path = self._path
        if not path:
            served = {text(each, "version") for each in children(self._api.get(_GROUP), "versions")}
            best = next((version for version in VERSIONS if version in served), None)
            if best is None:
                raise ApiNotFoundError(f"{_GROUP}: none of the versions {', '.join(VERSIONS)} is served")
            self._path = path = f"{_GROUP}/{best}"
        return path

    def forget(self) -> None:
        """Ask again at the next use: the version may have been removed in an upgrade."""
        self._path = ""
