# Everything a fresh machine needs: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint types check docs pooled fuzz schemathesis spark bench bench-all load clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)  ## screen the published cases and score them against their authors
	$(BIN)/calcinosis assess examples/published_cases/bundles/b090.json
	$(BIN)/calcinosis screen examples/published_cases/bundles --out demo-output
	$(BIN)/calcinosis validate examples/published_cases --html demo-output/validation.html
	@echo "Population report: demo-output/report.html"
	@echo "Validation report: demo-output/validation.html"

test: $(STAMP) lint types  ## everything CI runs
	$(BIN)/calcinosis knowledge check
	$(BIN)/python -m pytest -n 2

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

docs: $(STAMP)  ## regenerate the reference pages, the JSON contract and the worked examples
	$(BIN)/python -m calcinosis.knowledge.show docs/reference
	$(BIN)/python -m calcinosis.report.contract docs
	$(BIN)/python -m calcinosis.report.worked_examples examples/published_cases docs

pooled: $(STAMP)  ## pool the evidence again after a change of knowledge/content/evidence
	$(BIN)/python -m calcinosis.evidence.cells
	$(BIN)/python -m calcinosis.report.drawn

fuzz: $(STAMP)  ## at least 20,000 mutated resources: no traceback, no lost record
	$(BIN)/python tests/fuzz/fuzz_fhir.py --resources 21000

schemathesis: $(STAMP)  ## at least 5,000 requests made from the OpenAPI document: no 5xx, every response as declared
	SCHEMATHESIS_EXAMPLES=600 $(BIN)/python -m pytest tests/service/test_schema.py -s

spark: $(STAMP)  ## the Spark engine on a standalone cluster with two workers, one of which is killed
	$(BIN)/python -m pip install --quiet --editable '.[spark]'
	CALCINOSIS_SPARK=1 $(BIN)/python -m pytest tests/spark -s

load: $(STAMP)  ## the CDS service under load, side by side with an echo of the same body
	$(BIN)/python benchmarks/service_load.py

bench-all: $(STAMP)  ## growth to a million patients, Spark beside it, and the peers: a table and a plot in benchmarks/results
	$(BIN)/python -m pip install --quiet --editable '.[spark]'
	$(BIN)/python benchmarks/scale_and_peers.py

bench: $(STAMP)  ## speed and memory, side by side with the read limit
	$(BIN)/python benchmarks/screen_fhir.py
	$(BIN)/python benchmarks/one_patient.py

clean:
	rm -rf $(VENV) demo-output
