# make demo: train on data/ for about three minutes, generate, and show where everything is.
# make test: run linters, the type checker and tests.
# make torture: kill, fill and damage everything, thousands of times; see docs/survives.md.
# make measures: install the packages that measure speech, for scripts/speech.py.
# make docs: build the documentation as build/docs/index.html.
# make wasm: compile the kernels of the page for browsers.
# All but `wasm` create the environment first if it is missing.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: venv demo docs test test-slow torture lint benchmark measures wasm clean

venv: $(READY)

$(READY): pyproject.toml scripts/constraints.txt $(wildcard wavenet/csrc/*)
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.11')"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c scripts/constraints.txt -e '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/python scripts/demo.py

docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c scripts/constraints.txt 'wavenet[docs]' # only the extra's packages: wavenet is already installed
	$(BIN)/python -m sphinx -W --keep-going -q docs build/docs

test: lint
	$(BIN)/python -m pytest -n 2

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

torture: $(READY)
	$(BIN)/python -m pytest tests/torture -m torture -q

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

benchmark: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c scripts/constraints.txt -e '.[dev,benchmark]'
	$(BIN)/python scripts/benchmark.py training
	$(BIN)/python scripts/benchmark.py generation
	$(BIN)/python scripts/benchmark.py conditioning
	$(BIN)/python scripts/benchmark.py commands

measures: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c scripts/constraints.txt -e '.[dev,benchmark,fidelity]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r scripts/measures.txt

# by the clang of PyPI's ziglang, once with and once without relaxed SIMD. Both results are committed, with a digest of what
# they were made from
ZIG := ziglang==0.17.1
WASM_SOURCES := engine.cpp engine_threads.cpp dispatch.cpp network.cpp player.cpp interface.cpp exceptions_wasm.cpp
WASM_EXPORTS := load model_free sample_rate receptive_field instruction_set label_count label_name label_value player_new \
	player_free set_temperature set_top_k set_top_p set_label set_seed prime restart generate state_size save restore
WASM_FLAGS = -target wasm32-wasi -mexec-model=reactor -std=gnu++17 -O3 -ffp-contract=off -fwasm-exceptions -s \
	-DISA=portable -DONLY_PORTABLE -DWITHOUT_THREADS -fdeclspec -fvisibility=hidden \
	$(addprefix -I$(LIB)/,libcxxabi/include libcxxabi/src . libcxx/src libunwind/include) \
	$(addprefix -Wl$(comma)--export=,$(addprefix wavenet_,$(WASM_EXPORTS)) malloc free)
comma := ,
wasm: LIB = $(shell $(PYTHON) -c "import ziglang; print(ziglang.__path__[0])")/lib
wasm:
	$(PYTHON) -m pip install --quiet --disable-pip-version-check $(ZIG)
	for relaxed in "" relaxed; do \
	  $(PYTHON) -m ziglang c++ $(WASM_FLAGS) -mcpu=generic+simd128+exception_handling$${relaxed:+"+relaxed_simd"} \
	    $(addprefix wavenet/csrc/,$(WASM_SOURCES)) -o wavenet/web/wavenet$${relaxed:+"-relaxed"}.wasm || exit 1; done
	cd wavenet/csrc && cat $(sort $(WASM_SOURCES) $(notdir $(wildcard wavenet/csrc/*.h))) | sha256sum | cut -d ' ' -f 1 > ../web/wavenet.wasm.sources

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis
