"""Parts of azure-ai-ml that send files; importing it warns of what it uses itself."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from azure.ai.ml._artifacts._blob_storage_helper import BlobStorageClient
    from azure.ai.ml._utils._asset_utils import get_content_hash
    from azure.ai.ml.entities._assets._artifacts.artifact import ArtifactStorageInfo

__all__ = ["ArtifactStorageInfo", "BlobStorageClient", "get_content_hash"]
