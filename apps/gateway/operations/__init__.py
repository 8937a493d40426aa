"""The public operations but those of FHIR and billing: each stands here once, for the routes and
for the document.
"""
