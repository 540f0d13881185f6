# make run    the default preset on the sample corpus, with a question (creates .venv, installs, fetches models)
# make test   everything the tests need, then the tests
# make test-slow   the tests that take longest: benches as a user runs them, joblib, generated mistakes, indices of servers (some minutes)
# make test-crash  ingests that are killed at random moments, 100 of them (a few minutes)
# make test-cache  2,000 edits and questions on each cache, and a Redis that restarts under load (two minutes)
# make test-serve  2,000 questions of 64 clients at once, and a minute of requests of every kind (two minutes)
# make test-ray   sweeps on a local cluster of Ray, which is installed for it (200 MB)
# make test-vllm   a real vLLM on the CPU, in an environment of its own (4 GB, some minutes)
# make bench-vllm  how fast it is there, beside llama.cpp (ten minutes)
# make docs   the documentation as a site, build/site/index.html, which needs no network
# make lint   ruff, mypy --strict, import directions
# make bench  the figures of docs/benchmarks.md that need no data set (see there for the others)

VENV ?= .venv
BIN := $(VENV)/bin
VLLM ?= $(VENV)/vllm
QUERY ?= Who founded the ferry line?
# One more than there are processors: many tests wait for servers.
WORKERS ?= $(shell expr `getconf _NPROCESSORS_ONLN` + 1)
# The first interpreter that confrag supports; a version manager's shim may exist and still not run.
PYTHON ?= $(shell for p in python3.12 python3.11 python3.10 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1 && echo $$p && break; done)

.PHONY: run test test-slow test-crash test-cache test-serve test-ray test-vllm bench-vllm lint format docs clean

run: $(VENV)/.run
	$(BIN)/confrag run query="$(QUERY)"

test: $(VENV)/.test
	$(BIN)/confrag models pull bge-small-en ms-marco-minilm e5-small-multilingual smollm2-135m splade-tiny-en
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow"

test-slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

test-crash: $(VENV)/.test
	CONFRAG_CRASH_CASES=50 $(BIN)/python -m pytest tests/crash

test-cache: $(VENV)/.test
	CONFRAG_CACHE_STEPS=2000 $(BIN)/python -m pytest tests/integration/test_cache.py

test-serve: $(VENV)/.test
	CONFRAG_SERVE_QUESTIONS=2000 CONFRAG_SERVE_SECONDS=60 \
		$(BIN)/python -m pytest tests/serve/test_admission.py tests/serve/test_load.py

test-ray: $(VENV)/.test
	$(BIN)/python -m pip install -qq -e ".[ray]"
	$(BIN)/python -m pip install -qq --no-deps "hydra-ray-launcher>=1.2,<1.3"
	$(BIN)/python -m pytest tests/integration/test_sweeps.py -k ray

test-vllm: $(VENV)/.test $(VLLM)/.ready
	CONFRAG_VLLM=$(VLLM) $(BIN)/python -m pytest tests/vllm

bench-vllm: $(VENV)/.test $(VLLM)/.ready
	HF_HUB_OFFLINE=1 VLLM_CPU_KVCACHE_SPACE=1 CONFRAG_VLLM=$(abspath $(VLLM)) \
		$(BIN)/confrag bench model vllm_cpu vllm_cpu_awq quickstart --config-dir tests/vllm/conf

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(BIN)/python
	$(BIN)/python -m pip install -qq -e ".[docs]"
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

clean:
	rm -rf $(VENV) build dist *.egg-info .confrag

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "confrag needs Python 3.10, 3.11 or 3.12; name one with: make PYTHON=/path/to/python"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24.1"

$(VENV)/.run: pyproject.toml $(BIN)/python
	$(BIN)/python -m pip install -qq -e ".[local-llm]"
	@$(BIN)/python -m compileall -q confrag  # pip does not, for an editable install
	@touch $@

$(VENV)/.test: pyproject.toml $(BIN)/python
	$(BIN)/python -m pip install -qq -e ".[local-llm,test]"
	@$(BIN)/python -m compileall -q confrag
	@touch $@

$(VLLM)/.ready: tests/vllm/tools/environment.sh | $(VENV)/.test
	$(BIN)/confrag models pull smollm2-135m
	sh tests/vllm/tools/environment.sh $(BIN)/python $(VLLM)
	@touch $@
