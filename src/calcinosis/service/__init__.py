"""The service: CDS Hooks and a REST API over HTTP. It maps; every clinical decision is made below."""
