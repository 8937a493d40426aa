"""Writes the FHIR part of the OpenAPI document beside the gateway's own part: `scripts/openapi`."""

import sys

from apps.kit.openapi import generate
from apps.patient.openapi.document import DOCUMENT, make_document

if __name__ == "__main__":
    sys.exit(generate(DOCUMENT, make_document()))
