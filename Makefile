# The same steps as .ci/run, in the environment that is active now.
.PHONY: check test bench demo

check:
	ruff check .
	ruff format --check .
	mypy
	mypy benchmarks examples
	lint-imports

test:
	pytest

# The official run of the benchmarks, where nothing else runs: within an hour on two cores, and
# some ten more the first time, for making the files. What was measured stays: called again it goes on.
PYTHON ?= python
BENCH_FOLDER ?= /tmp/avkd-bench
extraction = $(PYTHON) benchmarks/extraction.py $(1) --setting $(2) --minutes $(3) --folder $(BENCH_FOLDER)
stores = $(PYTHON) benchmarks/stores.py $(1) --folder $(BENCH_FOLDER)
# A Python of its own for mosaicml-streaming; recordings whose logits are counted. Or without them.
mosaicml = $(if $(MOSAICML),--python mosaicml=$(MOSAICML))

bench:
	$(call extraction,memory,memory,3.5) --rounds 3
	$(call extraction,speed,decode-heavy,22)
	$(call extraction,speed,model-heavy,12)
	$(call extraction,teachers,three-teachers,5.5)
	$(call extraction,speed,balanced,5)
	$(foreach what,write scan epoch,$(call stores,$(what)) --minutes 4 $(mosaicml) &&) true
	$(if $(CLIPS),$(call stores,bytes) --corpus $(CLIPS))
	$(PYTHON) benchmarks/tables.py

demo:
	avkd demo
