"""Writes the gateway's part of the OpenAPI document, all but FHIR: `scripts/openapi`."""

import sys

from apps.gateway.operations.document import make_document
from apps.gateway.pages import DOCUMENT
from apps.kit.openapi import generate

if __name__ == "__main__":
    sys.exit(generate(DOCUMENT, make_document()))
