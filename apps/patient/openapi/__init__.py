"""The FHIR part of the OpenAPI document, made from the routes and the definitions:
`scripts/openapi`.
"""
