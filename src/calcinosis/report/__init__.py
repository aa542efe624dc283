"""Reports: one assessment for the terminal, as a web page, and as FHIR. Wording and layout only; nothing here decides anything."""
