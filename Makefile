# The same steps as .ci/run, in the environment that is active now.
.PHONY: check test bench demo

check:
	ruff check .
	ruff format --check .
	mypy
	lint-imports

test:
	pytest

bench:
	@for file in benchmarks/bench_*.py; do [ -e "$$file" ] || continue; echo "== $$file"; python "$$file"; done

demo:
	avkd demo
